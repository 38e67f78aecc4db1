"""End a delivery: check its account, update the last-sent state, keep the dead letters.

A complete delivery and an abandoned one end the same way; each step may be repeated.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recsync.context import StageContext
from recsync.push import accounts
from recsync.push.accounts import DeliveryAccount, is_unknown
from recsync.push.ledger import EntryKind, Ledger, Status
from recsync.push.store import Deliveries, LastSent, LastSentState, PlanManifest
from recsync.storage.duck import work_folder

log = logging.getLogger(__name__)

# Days for which the number of users written is kept; caps need today only.
_DAYS_KEPT = 2


def close(context: StageContext, manifest: PlanManifest, *, by: str) -> tuple[LastSentState, str]:
    """Close an incomplete delivery in favour of the newer one named ``by``.

    :returns: the last-sent state with what the old one settled, and its ETag.
    """
    now, rows = datetime.now(UTC).isoformat(), manifest.figures.total_rows
    ledger, _ = context.store(Deliveries).take_over(
        manifest.delivery, rows, kind=EntryKind.CLOSED, by=by, at=now
    )
    log.warning(
        "Delivery %s was not completed: %d of %d writes are settled, %d more may have been sent; the others are "
        "planned anew",
        manifest.delivery, len(ledger.statuses) - len(ledger.open_rows), len(ledger.statuses), ledger.under_way,
    )  # fmt: skip
    with work_folder() as work:
        context.store(Deliveries).download(manifest.delivery, work)
        return absorb(context, manifest, ledger, work)


def forget(context: StageContext, manifest: PlanManifest, folder: Path) -> None:
    """Mark the whole last-sent state as unknown when a resync begins, once.

    Any later delivery then writes the users who are not written yet, so a resync that was killed goes on.
    """
    state, etag = context.store(LastSent).read()
    if not manifest.resync or state.resync or state.open_delivery != manifest.delivery:
        return
    if former := context.store(LastSent).download(state, folder / "state.parquet"):
        accounts.forget(former, folder / "forgotten.parquet", folder)
        state = context.store(LastSent).upload(state, folder / "forgotten.parquet", manifest.delivery)
    context.store(LastSent).replace(replace(state, resync=manifest.delivery), etag)


def settle(context: StageContext, manifest: PlanManifest, ledger: Ledger, folder: Path) -> DeliveryAccount:
    """Write the account and the dead letters of a delivery with every row settled.

    :param folder: the plan's files.
    :raises FatalError: when the account does not add up.
    """
    state, _ = context.store(LastSent).read()
    # Use the state from before this delivery: after the merge, users who left are no longer in it.
    former = context.store(LastSent).download(state, folder / "former.parquet")
    account = accounts.settle(folder, manifest.figures, ledger, former, folder / "accounts.parquet", folder)
    context.store(Deliveries).put_accounts(manifest.delivery, folder / "accounts.parquet")
    if ledger.reasons:
        letters = accounts.dead_letters(folder, manifest.figures, ledger, folder)
        context.store(Deliveries).put_dead_letters(manifest.delivery, letters)
    return account


def absorb(
    context: StageContext, manifest: PlanManifest, ledger: Ledger, folder: Path
) -> tuple[LastSentState, str]:
    """Update the last-sent state with what a delivery settled, once.

    :raises RetriableError: when another delivery changed the state meanwhile.
    """
    state, etag = context.store(LastSent).read()
    if state.open_delivery != manifest.delivery:
        return state, etag or ""
    former = context.store(LastSent).download(state, folder / "state.parquet")
    merged = folder / "merged.parquet"
    accounts.merge_state(
        former, folder, manifest.figures, ledger, manifest.delivery, merged, folder,
        moment=manifest.moment,
        run_level=[each.name for each in context.program.braze.written if not each.source.alone],
    )  # fmt: skip
    today = datetime.now(UTC).date().isoformat()
    written = {**state.written, today: state.written.get(today, 0) + ledger.count(Status.TAKEN)}
    newer = context.store(LastSent).upload(state, merged, manifest.delivery)
    # A replay retries only some of the refused users, and an incomplete delivery has not reached all of them.
    is_whole = ledger.complete and not manifest.replay_of
    newer = replace(
        newer,
        refused=_refused(ledger) if is_whole else state.refused,
        resync="" if is_whole and not manifest.figures.deferred else state.resync,
        open_delivery="",
        written=dict(sorted(written.items())[-_DAYS_KEPT:]),
    )
    return newer, context.store(LastSent).replace(newer, etag)


def _refused(ledger: Ledger) -> int:
    """Count the refused users without those unknown to Braze, as the circuit breaker does."""
    rejected = (ledger.statuses == Status.REJECTED).nonzero()[0].tolist()
    return sum(not is_unknown(ledger.reasons[row]) for row in rejected)
