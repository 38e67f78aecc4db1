"""Deliver a plan: catalogue first, then a canary, then everybody; and account for every person.

A retry goes on where the former try stopped: the ledger knows what is settled, and what may have been sent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from braze_client.client import MAX_EXPORT_IDS, BrazeClient, BrazeDenied
from recsync.context import StageContext
from recsync.costs.usage import book_delivery
from recsync.errors import DELIBERATE, FatalError
from recsync.push import closing
from recsync.push.accounts import Account
from recsync.push.batches import open_batches, taken_lists
from recsync.push.braze_hook import BrazeHook
from recsync.push.catalog import CatalogSync
from recsync.push.last_sent import LastSent
from recsync.push.ledger import Entry, Kind, Ledger, Refusal, Status
from recsync.push.outcomes import UNKNOWN_TO_BRAZE, is_unknown
from recsync.push.read_back import drifted, unknown_people
from recsync.push.schemas import PARTS
from recsync.push.sending import MIN_REJECTED, Brakes, Sender
from recsync.push.store import Deliveries, PlanManifest, TakenOverError
from recsync.push.write_ahead_log import Journal

log = logging.getLogger(__name__)


class DryRunError(Exception):
    """The delivery was planned to be looked at, not to be sent."""


@dataclass(frozen=True)
class DeliveryReport:
    """What one delivery did; every person of the audience is in exactly one of ``outcomes``.

    :param outcomes: people by outcome.
    :param reasons: people by reason, of those who were not sent; the twenty most frequent ones.
    :param left_audience: people outside the audience who lost the attribute.
    :param left_audience_kept: those of them who still have it: refused, or without an answer.
    :param resent: people who may have been sent by an earlier try and were sent again: the same whole values.
    :param tries: how often the delivery was begun.
    :param answers: Braze's answers by status, of all tries; each is one request.
    :param data_points: of what Braze took.
    :param catalog_items: items written to the catalogue by this try.
    :param catalog_retired: items deleted from it.
    :param dead_letters: where the rejected and given-up payloads lie; empty when there are none.
    :param seconds: of this try.
    """

    delivery: str
    recommendations: str
    audience: int
    outcomes: dict[str, int]
    reasons: dict[str, int]
    left_audience: int
    left_audience_kept: int
    resent: int
    tries: int
    answers: dict[str, int]
    data_points: int
    catalog_items: int
    catalog_retired: int
    dead_letters: str
    seconds: float


def deliver(program_name: str, delivery: str) -> DeliveryReport:
    """Send what a plan holds until every write is settled, then settle the delivery itself.

    :raises TakenOverError: when another try or a newer delivery goes on instead.
    :raises RetriableError: when Braze or S3 gave no clear answer; the retry goes on where this try stopped.
    """
    started = time.monotonic()
    context = StageContext.of(program_name)
    manifest = context.store(Deliveries).plan(delivery)
    if manifest.dry_run:
        raise DryRunError(f"{delivery} was planned as a dry run; nothing of it is ever sent.")
    token = uuid4().hex
    ledger, number = context.store(Deliveries).take_over(
        delivery, manifest.figures.total_rows, kind=Kind.TAKE_OVER, by=token, at=_now()
    )
    if ledger.closed_by == delivery:
        return DeliveryReport(**(context.store(Deliveries).report(delivery, "report") or {}))
    if ledger.closed_by:
        raise TakenOverError(
            f"Delivery {delivery} was closed in favour of {ledger.closed_by}, which is newer."
        )
    with tempfile.TemporaryDirectory(prefix="recsync-deliver-") as folder:
        context.store(Deliveries).download(delivery, Path(folder))
        closing.forget(context, manifest, Path(folder))
        work = _Delivery(context, manifest, ledger, number, Path(folder), token)
        return asyncio.run(work.run(started))


class _Delivery:
    def __init__(
        self,
        context: StageContext,
        manifest: PlanManifest,
        ledger: Ledger,
        number: int,
        folder: Path,
        token: str,
    ) -> None:
        self._context = context
        self._braze = context.program.braze
        self._manifest = manifest
        self._ledger = ledger
        self._folder = folder
        self._catalog: CatalogSync | None = None
        self._number = number
        self._token = token
        self._catalog_items = 0
        self._told = Counter[str]()

    async def run(self, started: float) -> DeliveryReport:
        async with BrazeHook(self._braze.connection).client() as client:
            await self._sync_catalog(client)
            await self._send(client)
            account = closing.settle(self._context, self._manifest, self._ledger, self._folder)
            retired = await self._retire(account)
            closing.absorb(self._context, self._manifest, self._ledger, self._folder)
            report = self._report(account, retired, client, time.monotonic() - started)
        deliveries = self._context.store(Deliveries)
        deliveries.put_report(report.delivery, "report", asdict(report))
        book_delivery(self._context, report.delivery, report.data_points)
        deliveries.append(report.delivery, self._number, Entry(Kind.CLOSED, _now(), by=report.delivery))
        return report

    async def _sync_catalog(self, client: BrazeClient) -> None:
        # A replay sends older lists; the catalogue is newer than they are, and stays as it is.
        if self._braze.catalog is None or self._manifest.replay_of or self._manifest.leave_catalog:
            return
        items = pq.read_table(self._folder / "items.parquet")
        self._catalog = CatalogSync(
            self._context, self._braze.catalog, client, items, resync=self._manifest.resync
        )
        self._catalog_items = await self._catalog.update()

    async def _send(self, client: BrazeClient) -> None:
        delivery, deliveries = self._manifest.delivery, self._context.store(Deliveries)
        append, check = partial(deliveries.append, delivery), partial(deliveries.check, delivery)
        journal = Journal(
            self._ledger, self._number, append, token=self._token, check=check, answers=client.answers
        )
        writing = asyncio.create_task(journal.run())
        sending = asyncio.create_task(self._send_everything(client, journal))
        try:
            await asyncio.wait((sending, writing), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            # Without a journal nothing may be sent any more, not even once again.
            sending.cancel()
            await asyncio.wait((sending,))
            journal.close()
            await writing
            self._number, self._told = journal.number, client.answers - journal.untold
        journal.raise_error()

    async def _send_everything(self, client: BrazeClient, journal: Journal) -> None:
        state, _ = self._context.store(LastSent).read()
        brakes = Brakes(self._braze.delivery.max_rejected_share, state.refused)
        sender = Sender(client, journal, brakes, objects=len(self._ledger.open_rows))
        journal.until = self._manifest.figures.rows["canary"]
        await self._send_parts(sender, client, PARTS[:1])
        await self._reject_unknown(client, journal, PARTS[:1])
        await self._judge_canary(client, journal, is_first=not state.table)
        journal.until = self._manifest.figures.total_rows
        await self._send_parts(sender, client, PARTS[1:])
        await self._reject_unknown(client, journal, PARTS[1:])

    async def _send_parts(self, sender: Sender, client: BrazeClient, parts: tuple[str, ...]) -> None:
        is_open = self._ledger.statuses == Status.OPEN
        plan = client.plan
        batches = open_batches(
            self._folder, is_open, parts, max_objects=plan.objects_per_call, max_bytes=plan.bytes_per_call
        )
        await sender.send(batches)

    async def _reject_unknown(self, client: BrazeClient, journal: Journal, parts: tuple[str, ...]) -> None:
        """Find the people of whom Braze took a list and has no profile; they are rejected.

        With ``_update_existing_only`` Braze may answer for somebody it does not know as for anybody else.
        """
        await journal.flush()
        braze = self._braze
        if not braze.update_existing_only or not braze.delivery.verify_users:
            return
        unknown = 0
        try:
            for rows, external_ids in taken_lists(self._folder, self._ledger.statuses, parts):
                nobody = await unknown_people(client, external_ids)
                refusals = [
                    Refusal(row, UNKNOWN_TO_BRAZE)
                    for row, external_id in zip(rows, external_ids, strict=True)
                    if external_id in nobody
                ]
                journal.settle((), refusals)
                unknown += len(refusals)
        except BrazeDenied as error:
            log.warning("Who is unknown to Braze cannot be read back: %s", error)
        if unknown:
            log.warning("%d people are unknown to Braze, which took their lists without an error", unknown)
        await journal.flush()

    async def _judge_canary(self, client: BrazeClient, journal: Journal, *, is_first: bool) -> None:
        """Read the canary back, before anybody else is written; people unknown to Braze say nothing of the others.

        :param is_first: whether nothing was ever delivered.
        :raises FatalError: when Braze took it and shows none of it, or the first delivery's canary is unknown to Braze.
        """
        await journal.flush()
        figures = self._manifest.figures
        rest = figures.total_rows - figures.rows["canary"]
        if not figures.rows["canary"] or not (self._ledger.statuses[-rest:] == Status.OPEN).any() or not rest:
            return
        expected = self._canary_sample()
        if not expected:
            self._stop_when_all_are_unknown(is_first)
            return
        try:
            missing = await drifted(client, expected)
        except DELIBERATE as error:
            # A key without users.export.ids must not fail the delivery.
            log.warning("The canary could not be read back: %s", error)
            return
        log.info(
            "Canary: %d of %d people read back have what was sent",
            len(expected) - len(missing),
            len(expected),
        )
        if len(missing) == len(expected):
            raise FatalError(
                f"Braze took the canary and shows it for none of {len(expected)} people read back, so nobody else is "
                f"written. Look at {self._braze.attribute} in Braze's Data Settings: a blocklisted attribute, or one "
                "whose type is another one, drops every value silently. After a change of the payload mode, give the "
                "attribute another name in the program file; the old one is removed from everybody."
            )

    def _stop_when_all_are_unknown(self, is_first: bool) -> None:
        people = self._manifest.figures.rows["canary"]
        unknown = sum(is_unknown(self._ledger.reasons.get(row, "")) for row in range(people))
        if is_first and unknown == people > MIN_REJECTED:
            raise FatalError(
                f"Braze knows none of the {people} people of the canary, and update_existing_only creates nobody, so "
                "nobody else is written. Check that external_id of audience.sql is the external ID that Braze has, "
                f"and that connection {self._braze.connection} is the right workspace's."
            )

    def _canary_sample(self) -> dict[str, dict[str, int | None]]:
        table = pq.read_table(self._folder / "writes" / "canary.parquet", columns=["external_id", "changes"])
        statuses = self._ledger.statuses[: len(table)]
        taken = [row for row in range(len(table)) if statuses[row] == Status.TAKEN]
        # A sample, no secret.
        chosen = random.Random(len(taken)).sample(taken, min(len(taken), MAX_EXPORT_IDS))  # ruff: ignore[suspicious-non-cryptographic-random-usage]
        return {
            row["external_id"]: {change["attribute"]: change["fingerprint"] for change in row["changes"]}
            for row in table.take(pa.array(chosen, pa.int64())).to_pylist()
        }

    async def _retire(self, account: Account) -> int:
        """Delete items from the catalogue that left the program's, once nobody's list points at them."""
        if self._catalog is None or not (waiting := len(self._catalog.retired())):
            return 0
        left_behind = account.holdouts + account.left_audience_kept
        if left_behind:
            log.warning(
                "%d items have left the catalogue and stay in Braze for now: %d people could not be written and may "
                "still have lists that point at them",
                waiting, left_behind,
            )  # fmt: skip
            return 0
        return await self._catalog.retire()

    def _report(self, account: Account, retired: int, client: BrazeClient, seconds: float) -> DeliveryReport:
        lost = account.outcomes["rejected"] + account.outcomes["dead_lettered"] + account.left_audience_kept
        return DeliveryReport(
            delivery=self._manifest.delivery,
            recommendations=self._manifest.recommendations,
            audience=account.audience,
            outcomes=account.outcomes,
            reasons=account.reasons,
            left_audience=account.left_audience,
            left_audience_kept=account.left_audience_kept,
            resent=self._ledger.resent,
            tries=self._ledger.tries,
            answers=dict(self._ledger.answers + (client.answers - self._told)),
            data_points=account.data_points,
            catalog_items=self._catalog_items,
            catalog_retired=retired,
            dead_letters=self._context.store(Deliveries).dead_letters_uri(self._manifest.delivery)
            if lost
            else "",
            seconds=round(seconds, 3),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
