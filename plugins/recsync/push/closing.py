"""End a delivery: prove its account, bring the last-sent state up to date, keep the dead letters.

The same for one that is complete and for one that somebody else gave up; each step may be repeated.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recsync.context import StageContext
from recsync.push import accounts
from recsync.push.accounts import Account
from recsync.push.last_sent import LastSent, LastSentState
from recsync.push.ledger import Kind, Ledger, Status
from recsync.push.outcomes import is_unknown
from recsync.push.store import Deliveries, PlanManifest

log = logging.getLogger(__name__)

# Days of which the count of people written is kept; caps look at today only.
_DAYS_KEPT = 2


def close(context: StageContext, manifest: PlanManifest, *, by: str) -> tuple[LastSentState, str]:
    """Close a delivery that was never completed, in favour of a newer one.

    :param by: the newer delivery.
    :returns: the last-sent state with what the old one settled, and its ETag.
    """
    ledger, _ = context.store(Deliveries).take_over(
        manifest.delivery,
        manifest.figures.total_rows,
        kind=Kind.CLOSED,
        by=by,
        at=datetime.now(UTC).isoformat(),
    )
    log.warning(
        "Delivery %s was not completed: %d of %d writes are settled, %d more may have been sent; the others are "
        "planned anew",
        manifest.delivery, len(ledger.statuses) - len(ledger.open_rows), len(ledger.statuses), ledger.under_way,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="recsync-close-") as folder:
        work = Path(folder)
        context.store(Deliveries).download(manifest.delivery, work)
        return absorb(context, manifest, ledger, work)


def forget(context: StageContext, manifest: PlanManifest, folder: Path) -> None:
    """Take the whole last-sent state for unknown when a resync begins, once.

    From then on whoever is not written yet is written by the next delivery, whatever becomes of this one; so a resync
    that was killed goes on with the others.
    """
    state, etag = context.store(LastSent).read()
    if not manifest.resync or state.resync or state.open_delivery != manifest.delivery:
        return
    if former := context.store(LastSent).download(state, folder / "state.parquet"):
        accounts.forget(former, folder / "forgotten.parquet", folder)
        state = context.store(LastSent).upload(state, folder / "forgotten.parquet", manifest.delivery)
    context.store(LastSent).replace(replace(state, resync=manifest.delivery), etag)


def settle(context: StageContext, manifest: PlanManifest, ledger: Ledger, folder: Path) -> Account:
    """Write the account and the dead letters of a delivery whose every row is settled.

    :param folder: the plan's files.
    :raises FatalError: when the account does not add up.
    """
    state, _ = context.store(LastSent).read()
    # Told by the delivery's own former state; once it is absorbed, a second closing finds nobody left behind.
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
    """Bring the last-sent state up to date with what a delivery settled, once.

    :raises RetriableError: when somebody else changed the state meanwhile.
    """
    state, etag = context.store(LastSent).read()
    if state.open_delivery != manifest.delivery:
        return state, etag or ""
    former = context.store(LastSent).download(state, folder / "state.parquet")
    merged = folder / "merged.parquet"
    accounts.merge_state(former, folder, manifest.figures, ledger, manifest.delivery, merged, folder)
    today = datetime.now(UTC).date().isoformat()
    written = {**state.written, today: state.written.get(today, 0) + ledger.count(Status.TAKEN)}
    newer = context.store(LastSent).upload(state, merged, manifest.delivery)
    # A replay tries some of the refused only; a delivery that was not completed has not met them all.
    is_whole = ledger.complete and not manifest.replay_of
    refused = _refused(ledger) if is_whole else state.refused
    resync = "" if is_whole and not manifest.figures.deferred else state.resync
    newer = replace(
        newer,
        refused=refused,
        resync=resync,
        open_delivery="",
        written=dict(sorted(written.items())[-_DAYS_KEPT:]),
    )
    return newer, context.store(LastSent).replace(newer, etag)


def _refused(ledger: Ledger) -> int:
    """Count the refused people, without those whom Braze does not know: no brake counts these either."""
    rejected = (ledger.statuses == Status.REJECTED).nonzero()[0].tolist()
    return sum(not is_unknown(ledger.reasons[row]) for row in rejected)
