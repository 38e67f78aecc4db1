"""Deliveries on S3 (plans, ledgers, accounts, dead letters), and the last-sent state.

The last-sent state is a small document that names one Parquet object. It is replaced by compare-and-swap, so two tasks
that run at the same time cannot both change the state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from braze_client.identifiers import EXTERNAL_ID
from recsync.errors import FatalError, RetriableError
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry
from recsync.push.plan_format import PARTS, UNANSWERED_FILE, Estimate, PlanFigures
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_TABLES_KEPT = 3


@dataclass(frozen=True)
class Newest:
    """The newest recommendations that were delivered."""

    run: str = ""
    created_at: str = ""


@dataclass(frozen=True)
class LastSentState:
    """The document of the last-sent state.

    :param generation: counts the changes of ``table``.
    :param table: key of the Parquet object (schema ``plan_format.STATE``); empty before the first.
    :param open_delivery: the delivery that has begun and is not complete; empty when there is none.
    :param resync: the resync that marked everything in ``table`` as unknown, until every user is written; else empty.
    :param refused: users that Braze refused in the last complete delivery; they will be tried, and refused, again.
    :param written: users written by day (UTC, ISO 8601), of the last two days.
    :param identifier: how ``table`` names the people: :attr:`braze_client.identifiers.Identifier.tag`.
    :param former_identifiers: how they were named before, for erasures.
    """

    generation: int = 0
    table: str = ""
    open_delivery: str = ""
    newest: Newest = Newest()
    resync: str = ""
    refused: int = 0
    written: Mapping[str, int] = field(default_factory=dict)
    identifier: str = EXTERNAL_ID.tag
    former_identifiers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: dict[str, Any]) -> LastSentState:
        fields = {**document}
        fields["newest"] = Newest(**fields.get("newest", {}))
        fields["former_identifiers"] = tuple(fields.get("former_identifiers", ()))
        return cls(**fields)


@dataclass(frozen=True)
class LastSent:
    """The last-sent state of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> tuple[LastSentState, str | None]:
        """Read the document and its ETag, for :meth:`replace`."""
        body, etag = self.bucket.get_with_etag(self._document)
        if body is None:
            return LastSentState(), None
        try:
            return LastSentState.parse(json.loads(body)), etag
        except (ValueError, TypeError) as error:
            raise FatalError(
                f"{self.bucket.uri(self._document)} is damaged ({error}); restore an earlier version of it."
            ) from None

    def replace(self, state: LastSentState, etag: str | None) -> str:
        """Write the document if it still has this ETag; return the new ETag.

        :raises RetriableError: when another delivery changed it meanwhile.
        """
        body = json.dumps(asdict(state), indent=1, sort_keys=True).encode()
        written = self.bucket.put_if(self._document, body, etag=etag)
        if written is None:
            raise RetriableError(
                f"Another delivery changed {self.bucket.uri(self._document)} meanwhile; the next try begins anew."
            )
        self._delete_old_tables(state)
        return written

    def _delete_old_tables(self, state: LastSentState) -> None:
        """Keep the document's table, the two generations before it for a rollback, and all newer ones.

        A newer table belongs to a delivery that lost the race for the document, or that is about to replace it.
        """
        if not state.table:
            return
        older = [key for key in self.bucket.keys(self._tables) if key < self._generation(state.generation)]
        for key in older[: 1 - _TABLES_KEPT]:
            if key != state.table:
                self.bucket.delete(key)

    def download(self, state: LastSentState, target: Path) -> Path | None:
        """Download the table; return None when nothing was ever sent."""
        if not state.table:
            return None
        self.bucket.download(state.table, target)
        return target

    def upload(self, state: LastSentState, table: Path, delivery: str) -> LastSentState:
        """Store a new table, and return the state that names it; the caller replaces the document."""
        generation = state.generation + 1
        # The delivery is in the key, so that two that race never write the same object.
        key = f"{self._generation(generation)}-{delivery}.parquet"
        self.bucket.upload(key, table)
        return replace(state, generation=generation, table=key)

    def _generation(self, number: int) -> str:
        return f"{self._tables}{number:08d}"

    @property
    def _tables(self) -> str:
        return self.keys.state("last_sent/")

    @property
    def _document(self) -> str:
        return self.keys.state("last_sent.json")


_PLAN_FILES = (*(f"writes/{part}.parquet" for part in PARTS), "settled.parquet", "items.parquet")
# A replay has none, nor does a plan of an earlier version.
_OPTIONAL_FILES = (UNANSWERED_FILE,)
# Entries are small, so latency dominates.
_READERS = 8


class TakenOverError(FatalError):
    """Another try or a newer delivery took over, so this try must stop at once."""


@dataclass(frozen=True)
class PlanManifest:
    """A published plan.

    :param delivery: name of the delivery; names sort by time.
    :param recommendations: the recommend run it delivers.
    :param dag_run: the push run that planned it; its retries adopt the plan.
    :param replay_of: the delivery of the dead letters that it replays; empty for a delivery of recommendations.
    :param resync: whether every user is written, whatever the last-sent state says.
    :param brake: why a person must approve its removals; empty when approval is not needed.
    :param leave_catalog: whether the Braze catalog stays as it is.
    :param identifier: how its objects name the people: :attr:`braze_client.identifiers.Identifier.tag`.
    :param moment: Unix seconds of the recommendations; 0 when it delivers none.
    """

    delivery: str
    recommendations: str
    created_at: str
    dag_run: str
    dry_run: bool
    figures: PlanFigures
    estimate: Estimate
    replay_of: str = ""
    resync: bool = False
    brake: str = ""
    leave_catalog: bool = False
    identifier: str = EXTERNAL_ID.tag
    moment: int = 0


@dataclass(frozen=True)
class Deliveries:
    """The deliveries of one program."""

    bucket: Bucket
    keys: Keys

    def uri(self, delivery: str) -> str:
        return self.bucket.uri(self.keys.delivery(delivery))

    def publish(self, manifest: PlanManifest, folder: Path, sample: list[dict[str, Any]]) -> None:
        """Upload a plan's files, then the manifest that makes them visible."""
        prefix = self.keys.delivery(manifest.delivery)
        for name in (*_PLAN_FILES, *_OPTIONAL_FILES):
            if name in _PLAN_FILES or (folder / name).exists():
                self.bucket.upload(prefix + name, folder / name)
        self.bucket.put_json(f"{prefix}sample.json", sample)
        self.bucket.put_json(f"{prefix}plan.json", asdict(manifest))

    def plan(self, delivery: str) -> PlanManifest:
        """Read a plan's manifest.

        :raises FatalError: when there is none.
        """
        document = self.bucket.get_json(f"{self.keys.delivery(delivery)}plan.json")
        if document is None:
            raise FatalError(f"{self.uri(delivery)} holds no plan; run the push again from its first task.")
        figures, estimate = PlanFigures(**document["figures"]), Estimate(**document["estimate"])
        return PlanManifest(**{**document, "figures": figures, "estimate": estimate})

    def accounts_key(self, delivery: str) -> str:
        return self.keys.accounts(delivery)

    def newest(self) -> str:
        """Return the name of the newest planned delivery.

        :raises FatalError: when there is none.
        """
        found = next(filter(self._is_planned, reversed(self.names())), None)
        if found is None:
            raise FatalError(f"{self.bucket.uri(self.keys.all_deliveries)} holds no delivery yet.")
        return found

    def names(self) -> list[str]:
        """List the deliveries, oldest first, also those without a published plan."""
        return self.bucket.folders(self.keys.all_deliveries)

    def _is_planned(self, delivery: str) -> bool:
        return self.bucket.etag(f"{self.keys.delivery(delivery)}plan.json") is not None

    def download(self, delivery: str, folder: Path) -> None:
        (folder / "writes").mkdir(parents=True, exist_ok=True)
        prefix = self.keys.delivery(delivery)
        for name in (*_PLAN_FILES, *_OPTIONAL_FILES):
            if name in _PLAN_FILES or self.bucket.etag(prefix + name):
                self.bucket.download(prefix + name, folder / name)

    def read_ledger(self, delivery: str, rows: int) -> tuple[Ledger, int]:
        """Replay the ledger of a plan of ``rows`` rows; return it and the number of its next entry."""
        keys = self.bucket.keys(f"{self.keys.delivery(delivery)}ledger/")
        with ThreadPoolExecutor(_READERS) as pool:
            entries: Iterable[LedgerEntry] = map(LedgerEntry.parse, pool.map(self.bucket.get_json, keys))
            return Ledger.of(rows, entries), len(keys)

    def append(self, delivery: str, number: int, entry: LedgerEntry) -> None:
        """Write the next entry of a ledger.

        :raises TakenOverError: when another try wrote it.
        """
        body = json.dumps(entry.as_json(), separators=(",", ":")).encode()
        if self.bucket.put_if(self.keys.ledger_entry(delivery, number), body, etag=None) is None:
            raise _taken_over(delivery)

    def check(self, delivery: str, number: int) -> None:
        """Check that the next entry of a ledger is not written yet.

        :raises TakenOverError: when another try wrote it.
        """
        if self.bucket.etag(self.keys.ledger_entry(delivery, number)) is not None:
            raise _taken_over(delivery)

    def take_over(self, delivery: str, rows: int, *, kind: EntryKind, by: str, at: str) -> tuple[Ledger, int]:
        """Stop every other try, and return the ledger with the new entry and the number of the next one.

        A closed delivery gets no new entry.

        :param kind: ``TAKE_OVER`` to go on with the delivery, ``CLOSED`` to end it.
        """
        while True:
            ledger, number = self.read_ledger(delivery, rows)
            if ledger.closed_by:
                return ledger, number
            entry = LedgerEntry(kind, at, by)
            try:
                self.append(delivery, number, entry)
            except TakenOverError:
                continue  # the earlier try wrote one more entry: read it
            ledger.apply(entry)
            return ledger, number + 1

    def put_accounts(self, delivery: str, table: Path) -> None:
        self.bucket.upload(self.accounts_key(delivery), table)

    def download_accounts(self, delivery: str, target: Path) -> None:
        self.bucket.download(self.accounts_key(delivery), target)

    def download_removals(self, delivery: str, target: Path) -> None:
        """Download the plan's removals, those of users who left the audience among them."""
        self.bucket.download(f"{self.keys.delivery(delivery)}writes/removals.parquet", target)

    def put_dead_letters(self, delivery: str, table: pa.Table) -> None:
        """Store what Braze did not take as JSON lines, which a person can read and edit."""
        if len(table):
            lines = [json.dumps(row, ensure_ascii=False) for row in table.to_pylist()]
            self.bucket.put(self._dead_letters(delivery), "".join(f"{line}\n" for line in lines).encode())

    def dead_letters(self, delivery: str) -> bytes | None:
        """Read the dead letters of a delivery; None when it had none."""
        return self.bucket.get(self._dead_letters(delivery))

    def dead_letters_uri(self, delivery: str) -> str:
        return self.bucket.uri(self._dead_letters(delivery))

    def put_report(self, delivery: str, name: str, report: Mapping[str, Any]) -> None:
        """Store one report: ``report`` or ``verification``."""
        self.bucket.put_json(f"{self.keys.delivery(delivery)}{name}.json", dict(report))

    def report(self, delivery: str, name: str) -> dict[str, Any] | None:
        """Read one report; None when it is not there."""
        document: dict[str, Any] | None = self.bucket.get_json(f"{self.keys.delivery(delivery)}{name}.json")
        return document

    def _dead_letters(self, delivery: str) -> str:
        return f"{self.keys.delivery(delivery)}dead_letters.jsonl"


def _taken_over(delivery: str) -> TakenOverError:
    return TakenOverError(
        f"Another try or a newer delivery took over {delivery}; this one stops. Nothing is lost: "
        "the other one knows what was settled and sends the rest."
    )
