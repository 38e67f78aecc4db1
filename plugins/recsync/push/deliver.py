"""Deliver a plan: the catalog first, then a canary, then all other users; and account for every user.

A retry reads from the ledger which rows are settled and which may have been sent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied
from braze_client.identifiers import MAX_EXPORT_IDS, Identifier
from recsync.context import StageContext
from recsync.costs.usage import record_delivery
from recsync.errors import DELIBERATE, FatalError
from recsync.program.names import RETIRE_PREFIX
from recsync.push import closing
from recsync.push.accounts import UNKNOWN_TO_BRAZE, DeliveryAccount, is_unknown
from recsync.push.braze_hook import BrazeHook
from recsync.push.catalog import CatalogSync
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal, Status
from recsync.push.plan_format import PARTS
from recsync.push.read_back import drifted, unknown_people
from recsync.push.sending import MIN_REJECTED, CircuitBreaker, Sender
from recsync.push.store import Deliveries, LastSent, PlanManifest, TakenOverError
from recsync.push.write_ahead_log import WriteAheadLog
from recsync.push.writes import open_batches, rows_of_newcomers, taken_lists
from recsync.storage.duck import modest_allocator, work_folder
from recsync.storage.hashes import number_column, text_column

log = logging.getLogger(__name__)

# Calls of /users/export/ids that look for people unknown to Braze, at up to 40 a second: a million people by
# external_id or alias, 20,000 by an identifier that Braze looks up one at a time. The others are counted as sent.
_MAX_LOOKED_UP = 20_000


class DryRunError(Exception):
    """The plan is a dry run, which is never sent."""


@dataclass(frozen=True)
class DeliveryReport:
    """The result of one delivery; every user of the audience is in exactly one of ``outcomes``.

    :param outcomes: users by outcome.
    :param reasons: users by reason, of those who were not sent; the twenty most frequent ones.
    :param left_audience: users outside the audience who lost the attributes.
    :param left_audience_kept: those of them who still have them: refused, or without an answer.
    :param resent: users who may have been sent by an earlier try and were sent again: the same whole values.
    :param tries: number of tries.
    :param answers: Braze's responses by status, of all tries; each is one request.
    :param data_points: of what Braze took.
    :param catalog_items: items written to the catalog by this try.
    :param catalog_retired: items deleted from it.
    :param dead_letters: URI of the rejected and given-up payloads; empty when there are none.
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
    """Send a plan until every write is settled, then close the delivery.

    :raises TakenOverError: when another try or a newer delivery goes on instead.
    :raises RetriableError: when Braze or S3 gave no clear answer; the retry goes on where this try stopped.
    """
    started = time.monotonic()
    context = StageContext.of(program_name)
    deliveries = context.store(Deliveries)
    manifest = deliveries.plan(delivery)
    if manifest.dry_run:
        raise DryRunError(f"{delivery} was planned as a dry run; nothing of it is ever sent.")
    token = uuid4().hex
    ledger, number = deliveries.take_over(
        delivery, manifest.figures.total_rows, kind=EntryKind.TAKE_OVER, by=token, at=_now()
    )
    if ledger.closed_by == delivery:
        return DeliveryReport(**(deliveries.report(delivery, "report") or {}))
    if ledger.closed_by:
        raise TakenOverError(
            f"Delivery {delivery} was closed in favour of {ledger.closed_by}, which is newer."
        )
    with work_folder() as folder, modest_allocator():
        deliveries.download(delivery, folder)
        closing.forget(context, manifest, folder)
        # The transfers' memory: nothing of it is needed for sending.
        pa.system_memory_pool().release_unused()
        work = _Delivery(context, manifest, ledger, number, folder, token)
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
        self._deliveries = context.store(Deliveries)
        self._braze = context.program.braze
        self._manifest = manifest
        self._by = Identifier.parse(manifest.identifier)
        self._ledger = ledger
        self._folder = folder
        self._catalog: CatalogSync | None = None
        self._number = number
        self._token = token
        self._catalog_items = 0
        self._told = Counter[str]()
        self._newcomers: NDArray[np.bool_] | None = None

    async def run(self, started: float) -> DeliveryReport:
        async with BrazeHook(self._braze.connection).client() as client:
            await self._sync_catalog(client)
            await self._send(client)
            # Return what the calls used: sending and counting need their memory one after the other.
            pa.system_memory_pool().release_unused()
            account = closing.settle(self._context, self._manifest, self._ledger, self._folder)
            retired = await self._retire(account)
            await self._publish_status(client)
            closing.absorb(self._context, self._manifest, self._ledger, self._folder)
            report = self._report(account, retired, client, time.monotonic() - started)
        self._deliveries.put_report(report.delivery, "report", asdict(report))
        record_delivery(self._context, report.delivery, report.data_points)
        self._deliveries.append(
            report.delivery, self._number, LedgerEntry(EntryKind.CLOSED, _now(), by=report.delivery)
        )
        return report

    async def _sync_catalog(self, client: BrazeClient) -> None:
        # A replay sends older lists; the catalog is newer and stays as it is.
        if self._braze.catalog is None or self._manifest.replay_of or self._manifest.leave_catalog:
            return
        items = pq.read_table(self._folder / "items.parquet")
        self._catalog = CatalogSync(
            self._context, self._braze.catalog, client, items, resync=self._manifest.resync
        )
        self._catalog_items = await self._catalog.update()

    async def _send(self, client: BrazeClient) -> None:
        delivery = self._manifest.delivery
        journal = WriteAheadLog(
            self._ledger,
            self._number,
            partial(self._deliveries.append, delivery),
            token=self._token,
            check=partial(self._deliveries.check, delivery),
            answers=client.answers,
        )
        # The half million objects of Airflow's modules stay: the garbage collector need not visit them while calls run.
        gc.freeze()
        writing = asyncio.create_task(journal.run())
        sending = asyncio.create_task(self._send_everything(client, journal))
        try:
            await asyncio.wait((sending, writing), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            # Without its log nothing may be sent any more, no retry either.
            sending.cancel()
            await asyncio.wait((sending,))
            journal.close()
            await writing
            gc.unfreeze()
            self._number, self._told = journal.number, client.answers - journal.untold
        journal.raise_error()

    async def _send_everything(self, client: BrazeClient, journal: WriteAheadLog) -> None:
        state, _ = self._context.store(LastSent).read()
        brakes = CircuitBreaker(self._braze.delivery.max_rejected_share, state.refused)
        sender = Sender(client, journal, brakes, objects=len(self._ledger.open_rows), by=self._by)
        journal.until = self._manifest.figures.rows["canary"]
        await self._send_parts(sender, client, PARTS[:1])
        await self._reject_unknown(client, journal, PARTS[:1])
        await self._judge_canary(client, journal, is_first=not state.table)
        journal.until = self._manifest.figures.total_rows
        await self._send_parts(sender, client, PARTS[1:])
        await self._reject_unknown(client, journal, PARTS[1:])

    async def _send_parts(self, sender: Sender, client: BrazeClient, parts: tuple[str, ...]) -> None:
        limits = {"max_objects": client.plan.objects_per_call, "max_bytes": client.plan.bytes_per_call}
        is_open = self._ledger.statuses == Status.OPEN
        await sender.send(open_batches(self._folder, is_open, parts, **limits))

    async def _reject_unknown(
        self, client: BrazeClient, journal: WriteAheadLog, parts: tuple[str, ...]
    ) -> None:
        """Reject users without a profile in Braze, also when Braze accepted their lists.

        With ``_update_existing_only`` Braze may answer 201 without an error for an unknown user. Who has a known value
        in the last-sent state had a profile, and is not looked up in every delivery.
        """
        await journal.flush()
        braze = self._braze
        if braze.creates_people or not braze.delivery.verify_users:
            return
        if self._newcomers is None:
            state, _ = self._context.store(LastSent).read()
            with work_folder() as work:
                table = self._context.store(LastSent).download(state, work / "state.parquet")
                self._newcomers = rows_of_newcomers(self._folder, table, work)
        unknown = skipped = 0
        left = _MAX_LOOKED_UP * self._by.per_export
        try:
            for rows, people in taken_lists(self._folder, self._ledger.statuses, parts, self._newcomers):
                looked_up = people[:left]
                left -= len(looked_up)
                skipped += len(people) - len(looked_up)
                nobody = await unknown_people(client, looked_up, self._by)
                refusals = [
                    Refusal(row, UNKNOWN_TO_BRAZE)
                    for row, person in zip(rows, people, strict=True)
                    if person in nobody
                ]
                journal.settle((), refusals)
                unknown += len(refusals)
        except BrazeDenied as error:
            log.warning("Who is unknown to Braze cannot be read back: %s", error)
        if skipped:
            log.warning(
                "Whether Braze knows %d more people was not looked up, as that takes too many calls", skipped
            )
        if unknown:
            log.warning("%d people are unknown to Braze, which took their lists without an error", unknown)
        await journal.flush()

    async def _judge_canary(self, client: BrazeClient, journal: WriteAheadLog, *, is_first: bool) -> None:
        """Read the canary back before other users are written; users unknown to Braze do not count.

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
            missing = await drifted(client, expected, self._by)
        except DELIBERATE as error:
            # A key without users.export.ids must not fail the delivery.
            log.warning("The canary could not be read back: %s", error)
            return
        right = len(expected) - len(missing)
        log.info("Canary: %d of %d people read back have what was sent", right, len(expected))
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
                f"nobody else is written. Check that {self._by.name} of audience.sql is what Braze has, "
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
            for row in table.take(number_column(np.array(chosen, np.int64))).to_pylist()
        }

    async def _retire(self, account: DeliveryAccount) -> int:
        """Delete the Braze catalog's items that left the program's, once no list points at them."""
        if self._catalog is None or not (waiting := len(self._catalog.retired())):
            return 0
        left_behind = account.left_behind + account.left_audience_kept
        if left_behind:
            log.warning(
                "%d items have left the catalog and stay in Braze for now: %d people could not be written and may "
                "still have lists that point at them",
                waiting, left_behind,
            )  # fmt: skip
            return 0
        return await self._catalog.retire()

    async def _publish_status(self, client: BrazeClient) -> None:
        """Write when the lists were generated into the status catalog; a retirement deletes the item."""
        status, max_age = self._braze.status, self._context.program.recommendations.max_age
        moment = self._manifest.moment
        # A replay sends older lists, and a removal of old lists none.
        if status is None or max_age is None or self._manifest.replay_of or not moment:
            return
        fields = {
            "generated_at": datetime.fromtimestamp(moment, UTC).isoformat(),
            "fresh_until": moment + int(max_age.total_seconds()),
        }
        name = self._context.program.name
        columns = [text_column([name]), text_column([json.dumps(fields)]), number_column(np.array([True]))]
        is_retired = self._manifest.recommendations.startswith(RETIRE_PREFIX)
        item = pa.Table.from_arrays(columns, ["item_id", "fields", "used"])
        items = item.slice(1 if is_retired else 0)
        sync = CatalogSync(self._context, status, client, items, resync=self._manifest.resync)
        await (sync.retire() if is_retired else sync.update())

    def _report(
        self, account: DeliveryAccount, retired: int, client: BrazeClient, seconds: float
    ) -> DeliveryReport:
        lost = account.outcomes["rejected"] + account.outcomes["dead_lettered"] + account.left_audience_kept
        return DeliveryReport(
            delivery=self._manifest.delivery,
            recommendations=self._manifest.recommendations,
            **{name: value for name, value in vars(account).items() if name != "left_behind"},
            resent=self._ledger.resent,
            tries=self._ledger.tries,
            answers=dict(self._ledger.answers + (client.answers - self._told)),
            catalog_items=self._catalog_items,
            catalog_retired=retired,
            dead_letters=self._deliveries.dead_letters_uri(self._manifest.delivery) if lost else "",
            seconds=round(seconds, 3),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
