"""Verify a delivery: read a sample back from Braze, and mend what Braze took and lost."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsync.context import StageContext
from recsync.errors import FATAL, FatalError
from recsync.push import verification
from recsync.push.braze_hook import BrazeHook
from recsync.push.deliver import deliver
from recsync.push.last_sent import LastSent
from recsync.push.plan import plan
from recsync.push.read_back import drifted
from recsync.push.store import Deliveries
from recsync.push.verification import Delivered, Expectation

log = logging.getLogger(__name__)

# One drifted person in the sample means more outside it: so many people are read back to find them, 50 a call.
READ_ALL_PEOPLE = 50_000
# A fault of two calls in a hundred hits few of those who are written again, and next to nobody the third time.
_REPAIRS = 3


@dataclass(frozen=True)
class Verification:
    """What Braze showed.

    :param read_back: people read back at first.
    :param drifted: people found, then or in the search that followed, who did not have what Braze had taken.
    :param repairs: the deliveries that wrote them again, those of former tries among them.
    :param still_drifted: people who do not have it even then.
    :param skipped: why nobody was read back; empty when somebody was.
    """

    delivery: str
    read_back: int
    drifted: int = 0
    repairs: tuple[str, ...] = ()
    still_drifted: int = 0
    skipped: str = ""


def verify(program_name: str, delivery: str, *, dag_run: str) -> dict[str, Any]:
    """Read a stratified sample back; when somebody drifted, look for the others and write them all again.

    :param dag_run: the push run that asks.
    :raises FatalError: when people still do not have what Braze took again and again.
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


class _Verifier:
    def __init__(self, context: StageContext, delivery: str, dag_run: str) -> None:
        self._context = context
        self._braze = context.program.braze
        self._delivery = delivery
        self._dag_run = dag_run

    def run(self) -> Verification:
        people = self._braze.delivery.verify_users
        if not people:
            return Verification(self._delivery, 0, skipped="verify_users is 0")
        expected = self._expected(self._delivery, people)
        for repair in self._former_repairs():
            expected |= self._expected(repair, None)
        try:
            # What a former try found comes first: it may have failed before it was mended.
            wrong = sorted({*self._unmended(), *self._drifted(expected)})
        except FATAL as error:
            # A key without users.export.ids: what was delivered stays delivered. After an outage the task tries again.
            log.warning("Nobody could be read back: %s", error)
            return Verification(self._delivery, 0, skipped=str(error))
        if not wrong:
            return Verification(self._delivery, len(expected), repairs=self._former_repairs())
        wrong = self._search(wrong)
        log.error("Drift: %d people do not have what Braze took; they are written again", len(wrong))
        repairs, left = self._repair(wrong)
        return Verification(self._delivery, len(expected), len(wrong), repairs, len(left))

    def _expected(self, delivery: str, people: int | None) -> Expectation:
        """Say what Braze must show for a sample of a delivery's people, or for all whom it wrote."""
        with tempfile.TemporaryDirectory(prefix="recsync-verify-") as folder:
            work = Path(folder)
            delivered, _ = self._delivered(delivery, work)
            if delivered is None:
                return {}
            if people is None:
                return verification.everybody_sent(delivered, self._braze.attribute, work)
            return verification.sample(delivered, self._braze.attribute, people, delivery, work)

    def _former_repairs(self) -> tuple[str, ...]:
        """Name the deliveries by which a former try wrote people again; it may have failed before it looked at them."""
        return tuple(
            (self._context.store(Deliveries).report(self._delivery, "verification") or {}).get("repairs", ())
        )

    def _unmended(self) -> list[str]:
        recommendations = self._context.store(Deliveries).plan(self._delivery).recommendations
        with tempfile.TemporaryDirectory(prefix="recsync-verify-") as folder:
            work = Path(folder)
            delivered, newest = self._delivered(self._delivery, work)
            # What newer recommendations left open is for their own verification.
            return verification.unmended(delivered, work) if delivered and newest == recommendations else []

    def _delivered(self, delivery: str, work: Path) -> tuple[Delivered | None, str]:
        """Fetch what a delivery left behind; None without a last-sent state. And name the newest recommendations."""
        state, _ = self._context.store(LastSent).read()
        table = self._context.store(LastSent).download(state, work / "state.parquet")
        if table is None:
            return None, state.newest.run
        delivered = Delivered(work / "accounts.parquet", work / "removals.parquet", table)
        self._context.store(Deliveries).download_accounts(delivery, delivered.accounts)
        self._context.store(Deliveries).download_removals(delivery, delivered.removals)
        return delivered, state.newest.run

    def _drifted(self, expected: Expectation) -> list[str]:
        async def look() -> list[str]:
            async with BrazeHook(self._braze.connection).client() as client:
                return list(await drifted(client, expected))

        return asyncio.run(look()) if expected else []

    def _search(self, wrong: list[str]) -> list[str]:
        """Read everybody back whom the delivery wrote, when they are not too many."""
        report = self._context.store(Deliveries).report(self._delivery, "report") or {}
        written = sum(report.get("outcomes", {}).get(outcome, 0) for outcome in ("sent", "removed"))
        written += report.get("left_audience", 0)
        if written > READ_ALL_PEOPLE:
            log.error(
                "The delivery wrote %d people, too many to read all of them back; %d are known to have drifted",
                written, len(wrong),
            )  # fmt: skip
            return wrong
        return sorted({*wrong, *self._drifted(self._expected(self._delivery, None))})

    def _repair(self, wrong: list[str]) -> tuple[tuple[str, ...], list[str]]:
        """Write people again; name the deliveries that did, and the people for whom it did not help."""
        repairs = list(self._former_repairs())
        left, most = wrong, len(repairs) + _REPAIRS
        recommendations = self._context.store(Deliveries).plan(self._delivery).recommendations
        while left and len(repairs) < most:
            self._mark_unknown(left)
            manifest = plan(
                self._context.program.name,
                recommendations,
                dag_run=f"{self._dag_run}/repair-{len(repairs) + 1}",
                # Whoever loses a list here lost it with the delivery that is verified.
                allow_removals=True,
            )
            deliver(self._context.program.name, manifest.delivery)
            repairs.append(manifest.delivery)
            self._context.store(Deliveries).put_report(self._delivery, "verification", {"repairs": repairs})
            # Those whom Braze had refused are written once more too: they are looked at like the others.
            left = self._drifted(self._expected(manifest.delivery, None))
        if left:
            self._mark_unknown(left)
        return tuple(repairs), left

    def _mark_unknown(self, people: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="recsync-verify-") as folder:
            work = Path(folder)
            state, etag = self._context.store(LastSent).read()
            table = self._context.store(LastSent).download(state, work / "state.parquet")
            if table is None:
                return
            attributes = [name for name in (self._braze.attribute, self._braze.tier_attribute) if name]
            marked = work / "marked.parquet"
            verification.mark_unknown(table, people, attributes, self._delivery, marked, work)
            newer = self._context.store(LastSent).upload(state, marked, self._delivery)
            self._context.store(LastSent).replace(newer, etag)
