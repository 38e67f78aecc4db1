"""Verify a delivery: read a sample back from Braze, and repair what differs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from braze_client.identifiers import Identifier
from recsync.context import StageContext
from recsync.errors import FATAL, FatalError
from recsync.push.accounts import Outcome
from recsync.push.braze_hook import BrazeHook
from recsync.push.deliver import deliver
from recsync.push.diff import select_state
from recsync.push.plan import plan
from recsync.push.read_back import drifted
from recsync.push.store import Deliveries, LastSent
from recsync.storage import duck
from recsync.storage.duck import work_folder

log = logging.getLogger(__name__)

# Most of the sample was just written; the rest shows whether older values are still there.
# Held-out people must have no values: one from another writer would contaminate the experiment.
STRATA = {Outcome.SENT: 0.6, Outcome.REMOVED: 0.1, Outcome.UNCHANGED: 0.2, Outcome.HELD_OUT: 0.1}
# One drifted user in the sample means more outside it: all users written are read back in up to this many calls, so
# 50,000 by external_id or alias, and 1,000 by an identifier that Braze looks up one at a time.
READ_ALL_CALLS = 1_000
# A fault in 2 % of the calls hits few of the users that are written again, and hardly anyone the third time.
_REPAIRS = 3

Expectation = dict[str, dict[str, int | None]]
"""Attribute -> fingerprint by person; None when it must be absent."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    :param read_back: users read back at first.
    :param drifted: users with other values than sent, found then or in the search that followed.
    :param repairs: the deliveries that wrote them again, those of earlier tries among them.
    :param still_drifted: users with other values even after the repairs.
    :param skipped: why no user was read back; empty when some were.
    """

    delivery: str
    read_back: int
    drifted: int = 0
    repairs: tuple[str, ...] = ()
    still_drifted: int = 0
    skipped: str = ""


def verify(program_name: str, delivery: str, *, dag_run: str) -> dict[str, Any]:
    """Read a stratified sample back; when a user drifted, search for the others and write them all again.

    :param dag_run: the push run of this task.
    :raises FatalError: when users still differ after all repairs.
    :raises RetriableError: when Braze could not be read; the next try goes on with what this one found.
    """
    context = StageContext.of(program_name)
    found = _Verifier(context, delivery, dag_run).run()
    context.store(Deliveries).put_report(delivery, "verification", asdict(found))
    if found.still_drifted:
        raise FatalError(
            f"{found.still_drifted} of {found.drifted} people do not have what Braze took {_REPAIRS + 1} times. Look "
            f"at {context.program.braze.attribute} in Braze's Data Settings (blocklisted? another type?), and for "
            f"another writer of it. They stay in the last-sent state as unknown and are written again next time."
        )
    return asdict(found)


@dataclass(frozen=True)
class _Delivered:
    """What a delivery left behind, as a DuckDB database with the views ``accounts`` and ``state``.

    :param attributes: of the program.
    """

    database: duckdb.DuckDBPyConnection
    work: Path
    attributes: Sequence[str]

    @classmethod
    @contextmanager
    def of(cls, context: StageContext, delivery: str) -> Generator[_Delivered | None]:
        """Download the delivery's account and the last-sent state; yield None without a state."""
        deliveries, last_sent = context.store(Deliveries), context.store(LastSent)
        with work_folder() as work:
            table = last_sent.download(last_sent.read()[0], work / "state.parquet")
            if table is None:
                yield None
                return
            deliveries.download_accounts(delivery, work / "accounts.parquet")
            deliveries.download_removals(delivery, work / "removals.parquet")
            with duck.opened(work) as database:
                # Users who left the audience count as removed. If Braze refused some, the state says what they have.
                database.execute(
                    f"CREATE VIEW accounts AS SELECT external_id, outcome "
                    f"FROM read_parquet('{work / 'accounts.parquet'}') "
                    f"UNION ALL SELECT external_id, '{Outcome.REMOVED}' "
                    f"FROM read_parquet('{work / 'removals.parquet'}') WHERE NOT in_audience"
                )
                database.execute(f"CREATE VIEW state AS {select_state(table)}")
                yield cls(database, work, context.program.braze.attribute_names)

    def sample(self, people: int, seed: str) -> Expectation:
        """Choose users of each outcome, and say what Braze must show for them.

        :param people: most users; an outcome that has fewer leaves its share unused.
        :param seed: another seed chooses others.
        """
        return self._expect(
            " UNION ALL ".join(
                f"(SELECT external_id FROM accounts WHERE outcome = '{outcome}' "
                f"ORDER BY hash(external_id || '{seed}'), external_id LIMIT {max(1, int(people * share))})"
                for outcome, share in STRATA.items()
            )
        )

    def everybody_sent(self) -> Expectation:
        """Say what Braze must show for every user that the delivery wrote."""
        written = f"'{Outcome.SENT}', '{Outcome.REMOVED}'"
        return self._expect(f"SELECT external_id FROM accounts WHERE outcome IN ({written})")

    def _expect(self, chosen: str) -> Expectation:
        rows = self.database.sql(
            f"SELECT c.external_id, s.attribute, s.fingerprint FROM ({chosen}) c "
            "LEFT JOIN state s USING (external_id)"
        ).fetchall()
        expected: Expectation = {}
        unknown = set()
        for external_id, name, fingerprint in rows:
            if name is not None and fingerprint is None:
                unknown.add(external_id)
            names = self.attributes if name is None else [name]
            expected.setdefault(external_id, {}).update(dict.fromkeys(names, fingerprint))
        return {who: attributes for who, attributes in expected.items() if who not in unknown}

    def unmended(self) -> list[str]:
        """Return the users that an earlier try marked as drifted and did not write again.

        A complete delivery knows every value that Braze took: only such a mark makes it unknown.
        """
        outcomes = ", ".join(f"'{outcome}'" for outcome in STRATA)
        rows = self.database.sql(
            "SELECT DISTINCT external_id FROM accounts JOIN state s USING (external_id) "
            f"WHERE s.fingerprint IS NULL AND outcome IN ({outcomes}) ORDER BY 1"
        ).fetchall()
        return [external_id for (external_id,) in rows]


class _Verifier:
    def __init__(self, context: StageContext, delivery: str, dag_run: str) -> None:
        self._context = context
        self._braze = context.program.braze
        self._deliveries = context.store(Deliveries)
        self._last_sent = context.store(LastSent)
        self._delivery = delivery
        self._dag_run = dag_run
        self._by = Identifier.parse(self._deliveries.plan(delivery).identifier)

    def run(self) -> Verification:
        people = self._braze.delivery.verify_users
        if not people:
            return Verification(self._delivery, 0, skipped="verify_users is 0")
        with _Delivered.of(self._context, self._delivery) as delivered:
            expected = delivered.sample(people, self._delivery) if delivered else {}
        for repair in self._earlier_repairs():
            expected |= self._everybody_sent(repair)
        try:
            # Users that an earlier try found come first: it may have failed before they were written again.
            wrong = sorted({*self._unmended(), *self._drifted(expected)})
        except FATAL as error:
            # A key without users.export.ids does not fail the delivery. After an outage the task is retried.
            log.warning("Nobody could be read back: %s", error)
            return Verification(self._delivery, 0, skipped=str(error))
        if not wrong:
            return Verification(self._delivery, len(expected), repairs=self._earlier_repairs())
        wrong = self._search(wrong)
        log.error("Drift: %d people do not have what Braze took; they are written again", len(wrong))
        repairs, left = self._repair(wrong)
        return Verification(self._delivery, len(expected), len(wrong), repairs, len(left))

    def _everybody_sent(self, delivery: str) -> Expectation:
        with _Delivered.of(self._context, delivery) as delivered:
            return delivered.everybody_sent() if delivered else {}

    def _earlier_repairs(self) -> tuple[str, ...]:
        """Return the repairs of an earlier try, which may have failed before it read their users back."""
        return tuple((self._deliveries.report(self._delivery, "verification") or {}).get("repairs", ()))

    def _unmended(self) -> list[str]:
        newest = self._last_sent.read()[0].newest.run
        # What newer recommendations left open belongs to their own verification.
        if newest != self._deliveries.plan(self._delivery).recommendations:
            return []
        with _Delivered.of(self._context, self._delivery) as delivered:
            return delivered.unmended() if delivered else []

    def _drifted(self, expected: Expectation) -> list[str]:
        async def look() -> list[str]:
            async with BrazeHook(self._braze.connection).client() as client:
                return list(await drifted(client, expected, self._by))

        return asyncio.run(look()) if expected else []

    def _search(self, wrong: list[str]) -> list[str]:
        """Read back every user that the delivery wrote, unless they are too many."""
        report = self._deliveries.report(self._delivery, "report") or {}
        written = sum(report.get("outcomes", {}).get(outcome, 0) for outcome in ("sent", "removed"))
        written += report.get("left_audience", 0)
        if written > READ_ALL_CALLS * self._by.per_export:
            log.error(
                "The delivery wrote %d people, too many to read all of them back; %d are known to have drifted",
                written, len(wrong),
            )  # fmt: skip
            return wrong
        return sorted({*wrong, *self._drifted(self._everybody_sent(self._delivery))})

    def _repair(self, wrong: list[str]) -> tuple[tuple[str, ...], list[str]]:
        """Write users again; return the deliveries that did, and the users that still differ."""
        repairs = list(self._earlier_repairs())
        left, most = wrong, len(repairs) + _REPAIRS
        recommendations = self._deliveries.plan(self._delivery).recommendations
        while left and len(repairs) < most:
            self._mark_unknown(left)
            manifest = plan(
                self._context.program.name,
                recommendations,
                dag_run=f"{self._dag_run}/repair-{len(repairs) + 1}",
                # Users who lose a list here lost it with the delivery that is verified.
                allow_removals=True,
            )
            deliver(self._context.program.name, manifest.delivery)
            repairs.append(manifest.delivery)
            self._deliveries.put_report(self._delivery, "verification", {"repairs": repairs})
            # Users that Braze had refused are written once more too, and read back like the others.
            left = self._drifted(self._everybody_sent(manifest.delivery))
        if left:
            self._mark_unknown(left)
        return tuple(repairs), left

    def _mark_unknown(self, people: list[str]) -> None:
        """Mark users' fingerprints as unknown in the last-sent state, so that the next plan writes them again.

        A user without any entry may still have every attribute of the program.
        """
        state, etag = self._last_sent.read()
        with _Delivered.of(self._context, self._delivery) as delivered:
            if delivered is None:
                return
            database, marked = delivered.database, delivered.work / "marked.parquet"
            database.register("drifted", pa.table({"external_id": pa.array(people, pa.string())}))
            names = pa.array(self._braze.attribute_names, pa.string())
            database.register("attributes", pa.table({"attribute": names}))
            database.execute(
                "COPY (SELECT external_id, attribute, CASE WHEN external_id IN (SELECT external_id FROM drifted) "
                "THEN NULL ELSE fingerprint END AS fingerprint, delivery, kept_since, confirmed_at FROM state "
                f"UNION ALL SELECT external_id, attribute, NULL, '{self._delivery}', NULL, NULL "
                "FROM drifted CROSS JOIN attributes WHERE external_id NOT IN (SELECT external_id FROM state)"
                f") TO '{marked}' (FORMAT parquet, COMPRESSION zstd)"
            )
            newer = self._last_sent.upload(state, marked, self._delivery)
            self._last_sent.replace(newer, etag)
