"""Deliveries on S3: their plans, ledgers, accounts, dead letters and reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsync.errors import FatalError
from recsync.push.delivery_budget import Estimate
from recsync.push.ledger import Entry, Kind, Ledger
from recsync.push.schemas import PARTS, UNANSWERED_FILE, Figures
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_PLAN_FILES = (*(f"writes/{part}.parquet" for part in PARTS), "settled.parquet", "items.parquet")
# A replay has none, nor has a plan from before it existed.
_OPTIONAL_FILES = (UNANSWERED_FILE,)
# Entries are small; many connections hide the time each takes.
_READERS = 8


class TakenOverError(FatalError):
    """Another try, or a newer delivery, goes on with this one; this one must stop at once."""


@dataclass(frozen=True)
class PlanManifest:
    """What one plan is.

    :param delivery: name of the delivery; names sort by time.
    :param recommendations: the recommend run it delivers.
    :param dag_run: the push run that planned it; its retries adopt the plan.
    :param leave_catalog: whether the Braze catalog stays as it is.
    :param replay_of: the delivery whose dead letters it sends again; empty for a delivery of recommendations.
    :param resync: whether everybody is written anew, whatever the last-sent state says.
    :param brake: why a person must agree to its removals; empty when nobody must.
    """

    delivery: str
    recommendations: str
    created_at: str
    dag_run: str
    dry_run: bool
    replay_of: str
    figures: Figures
    estimate: Estimate
    resync: bool = False
    brake: str = ""
    leave_catalog: bool = False


@dataclass(frozen=True)
class Deliveries:
    """The deliveries of one program."""

    bucket: Bucket
    keys: Keys

    def uri(self, delivery: str) -> str:
        """Write the S3 URI of a delivery's folder."""
        return self.bucket.uri(self.keys.delivery(delivery))

    def publish(self, manifest: PlanManifest, folder: Path, sample: list[dict[str, Any]]) -> None:
        """Upload a plan's files, then the manifest that makes them visible."""
        prefix = self.keys.delivery(manifest.delivery)
        for name in _PLAN_FILES:
            self.bucket.upload(prefix + name, folder / name)
        for name in _OPTIONAL_FILES:
            if (folder / name).exists():
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
        figures, estimate = Figures(**document["figures"]), Estimate(**document["estimate"])
        return PlanManifest(**{**document, "figures": figures, "estimate": estimate})

    def newest(self) -> str:
        """Name the newest planned delivery; names sort by time.

        :raises FatalError: when there is none.
        """
        ending = "/plan.json"
        plans = [key for key in self.bucket.keys(self.keys.all_deliveries) if key.endswith(ending)]
        if not plans:
            raise FatalError(f"{self.bucket.uri(self.keys.all_deliveries)} holds no delivery yet.")
        return plans[-1].removesuffix(ending).rsplit("/", 1)[-1]

    def download(self, delivery: str, folder: Path) -> None:
        """Fetch a plan's files."""
        (folder / "writes").mkdir(parents=True, exist_ok=True)
        for name in _PLAN_FILES:
            self.bucket.download(self.keys.delivery(delivery) + name, folder / name)
        for name in _OPTIONAL_FILES:
            if self.bucket.etag(self.keys.delivery(delivery) + name):
                self.bucket.download(self.keys.delivery(delivery) + name, folder / name)

    def read_ledger(self, delivery: str, rows: int) -> tuple[Ledger, int]:
        """Replay a ledger.

        :param rows: of the plan.
        :returns: the ledger, and the number that its next entry takes.
        """
        keys = self.bucket.keys(f"{self.keys.delivery(delivery)}ledger/")
        with ThreadPoolExecutor(_READERS) as pool:
            entries: Iterable[Entry] = map(Entry.parse, pool.map(self.bucket.get_json, keys))
            return Ledger.of(rows, entries), len(keys)

    def append(self, delivery: str, number: int, entry: Entry) -> None:
        """Write the next entry of a ledger.

        :raises TakenOverError: when somebody else wrote it.
        """
        body = json.dumps(entry.as_json(), separators=(",", ":")).encode()
        if self.bucket.put_if(self.keys.ledger_entry(delivery, number), body, etag=None) is None:
            raise _taken_over(delivery)

    def check(self, delivery: str, number: int) -> None:
        """See whether the next entry of a ledger is still to be written.

        :raises TakenOverError: when somebody else wrote it.
        """
        if self.bucket.etag(self.keys.ledger_entry(delivery, number)) is not None:
            raise _taken_over(delivery)

    def take_over(self, delivery: str, rows: int, *, kind: Kind, by: str, at: str) -> tuple[Ledger, int]:
        """Make everybody else stop, and say what is settled.

        :param kind: ``TAKE_OVER`` to go on with the delivery, ``CLOSED`` so that nobody does.
        :returns: the ledger with the new entry, and the number that the next one takes. A delivery that is closed
            already is left as it is.
        """
        while True:
            ledger, number = self.read_ledger(delivery, rows)
            if ledger.closed_by:
                return ledger, number
            entry = Entry(kind, at, by)
            try:
                self.append(delivery, number, entry)
            except TakenOverError:
                continue  # the former try wrote one more entry in between: read it
            ledger.apply(entry)
            return ledger, number + 1

    def put_accounts(self, delivery: str, table: Path) -> str:
        """Store the account of every person; return its key."""
        key = f"{self.keys.delivery(delivery)}accounts.parquet"
        self.bucket.upload(key, table)
        return key

    def download_accounts(self, delivery: str, target: Path) -> None:
        """Fetch the account of every person."""
        self.bucket.download(f"{self.keys.delivery(delivery)}accounts.parquet", target)

    def download_removals(self, delivery: str, target: Path) -> None:
        """Fetch the plan's removals, those of people who left the audience among them."""
        self.bucket.download(f"{self.keys.delivery(delivery)}writes/removals.parquet", target)

    def put_dead_letters(self, delivery: str, table: pa.Table) -> None:
        """Store what Braze did not take as JSON lines, which a person can read and repair."""
        if len(table):
            lines = [json.dumps(row, ensure_ascii=False) for row in table.to_pylist()]
            self.bucket.put(self._dead_letters(delivery), "".join(f"{line}\n" for line in lines).encode())

    def dead_letters(self, delivery: str) -> bytes | None:
        """Read the dead letters of a delivery; None when it had none."""
        return self.bucket.get(self._dead_letters(delivery))

    def dead_letters_uri(self, delivery: str) -> str:
        """Write the S3 URI of a delivery's dead letters."""
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
