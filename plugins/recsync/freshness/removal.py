"""Plan the removal of lists that are too old: a delivery for all people with a list."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from braze_client.identifiers import Identifier
from recsync.context import StageContext
from recsync.freshness.ages import max_age, measure, was_told
from recsync.program.names import REMOVAL_PREFIX
from recsync.push import plan_format
from recsync.push.closing import close
from recsync.push.diff import PlanInputs
from recsync.push.plan import RemovalBrakeError, delivery_name, publish_plan, without_suppressed
from recsync.push.plan_files import plan_files
from recsync.push.store import Deliveries, LastSent, PlanManifest
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.storage.duck import work_folder

log = logging.getLogger(__name__)


def plan_removal(
    program_name: str,
    *,
    dag_run: str,
    run: str,
    now: datetime,
    allow_removals: bool = False,
    dry_run: bool = False,
) -> PlanManifest | None:
    """Plan to remove every list that is older than the program allows.

    An interrupted push is closed first, so that the lists it wrote are known and not removed.

    :param dag_run: the run of this task; its retry adopts the plan.
    :param run: key of the run.
    :param allow_removals: the removals are intended, however many they are.
    :param dry_run: plan only; the plan cannot be delivered.
    :returns: None when no list is too old.
    :raises RemovalBrakeError: when it would remove more than ``max_removed_share``, no alert was sent a day before,
        and the program has no approval.
    """
    context = StageContext.of(program_name)
    deliveries, last_sent = context.store(Deliveries), context.store(LastSent)
    state, etag = last_sent.read()
    former = deliveries.plan(state.open_delivery) if state.open_delivery and not dry_run else None
    if former and former.dag_run == dag_run:
        log.info("Delivery %s is planned already and goes on", former.delivery)
        return former
    name = delivery_name(f"{REMOVAL_PREFIX}{run}")
    if former and measure(context, state, now).too_old:
        state, etag = close(context, former, by=name)
    if not measure(context, state, now).too_old:
        return None
    identifier = Identifier.parse(state.identifier)
    with work_folder() as work:
        table = context.store(LastSent).download(state, work / "state.parquet")
        without_suppressed(context, [table])
        figures = plan_files(_inputs(context, table, identifier, now, work), work / "plan", work)
        brake = plan_format.removal_brake(context.program.braze.delivery, figures, "their lists are too old")
        if brake and not (allow_removals or was_told(context, state.newest.created_at, now)):
            _brake(context, brake, dry_run=dry_run)
        else:
            brake = ""
        manifest = publish_plan(
            context,
            figures,
            work / "plan",
            what="the removal of old lists",
            delivery=name,
            recommendations=name.partition("-")[2],
            dag_run=dag_run,
            dry_run=dry_run,
            brake=brake,
            identifier=identifier.tag,
            leave_catalog=True,
        )
    if not dry_run:
        last_sent.replace(replace(state, open_delivery=name), etag)
    return manifest


def _inputs(
    context: StageContext, state: Path | None, identifier: Identifier, now: datetime, work: Path
) -> PlanInputs:
    delivery, nothing = context.program.braze.delivery, CATALOG.empty_table()
    lists = work / "lists.parquet"
    pq.write_table(LISTS.with_metadata(positions_in(nothing)).empty_table(), lists)
    written, _ = context.store(LastSent).read()
    today = now.date().isoformat()
    return PlanInputs(
        braze=context.program.braze,
        lists=lists,
        catalogue=nothing,
        state=state,
        cap=plan_format.cap(delivery, written.written.get(today, 0)),
        oldest=int((now - max_age(context)).timestamp()),
        identifier=identifier,
    )


def _brake(context: StageContext, brake: str, *, dry_run: bool) -> None:
    """Stop too many removals without an alert a day before, or log them when a person approves the plan.

    :raises RemovalBrakeError: when the program has no approval.
    """
    name = context.program.name
    if not dry_run and context.program.braze.delivery.approve_above_users is None:
        raise RemovalBrakeError(
            f"Nothing was removed: {brake}. Nobody was told a day before that these lists become too old: look at "
            f"recommendations.max_age_days first, and at the last runs of {name}_push. When newer lists are not "
            f"pushed at all, the next daily run removes them; to remove them now, trigger {name}_freshness with "
            "allow_removals."
        )
    log.warning("%s, so %s", brake, "a run would stop here" if dry_run else "a person must approve it")
