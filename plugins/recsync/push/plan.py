"""Plan a delivery: what must be written to Braze so that everybody has what the newest recommendations say."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.costs import budget
from recsync.costs.estimate import delivery
from recsync.errors import FatalError
from recsync.push import delivery_budget
from recsync.push.braze_hook import BrazeHook
from recsync.push.closing import close
from recsync.push.diff import Inputs
from recsync.push.last_sent import LastSent, LastSentState, Newest
from recsync.push.plan_files import plan_files
from recsync.push.schemas import PARTS, Figures
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import PERSON


def without_suppressed(context: StageContext, files: Iterable[Path | None]) -> None:
    """Leave suppressed people out of local Parquet files with a column ``external_id``.

    A removal would make Braze a new profile for somebody who was deleted there, so the last-sent state forgets them.
    """
    suppression = context.store(SuppressionStore).read()
    if not suppression.people:
        return
    for path in filter(None, files):
        filtered = path.with_suffix(".filtered")
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(filtered, file.schema_arrow, compression="zstd") as writer,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                found = suppression.rows(PERSON, table.column("external_id").combine_chunks())
                writer.write_table(table.filter(pa.array(~found)))
        filtered.replace(path)


log = logging.getLogger(__name__)

# What a person looks at before approving: enough to see every kind of payload.
_SAMPLE_PER_PART = 5
_DAY_SECONDS = 86_400


class RemovalBrakeError(FatalError):
    """More people would lose their list than the program allows."""


class SupersededError(Exception):
    """These recommendations, or newer ones, were pushed before."""


@dataclass(frozen=True)
class _Request:
    """What a push run asks for, see :func:`plan`."""

    dag_run: str
    dry_run: bool
    resync: bool
    allow_removals: bool


def plan(
    program_name: str,
    run: str | None,
    *,
    dag_run: str,
    run_type: str = "manual",
    dry_run: bool = False,
    resync: bool = False,
    allow_removals: bool = False,
) -> PlanManifest:
    """Plan the delivery of published recommendations.

    A delivery that was begun and never completed is closed first: what it settled goes into the last-sent state, and
    what nobody knows about is planned anew. A retry of the same run adopts its plan instead.

    :param run: the recommend run to deliver; None takes the newest published one.
    :param dag_run: the push run that asks.
    :param run_type: why Airflow started it. Only a person delivers what ``make push`` published. A scheduled run makes
        up for an asset event that started no run, so it delivers only what Braze was not told of yet.
    :param dry_run: plan only: nobody may deliver it, and no other delivery is touched.
    :param resync: write everybody anew, whatever the last-sent state says. A resync that was begun and is not
        complete goes on with those who are not written yet.
    :param allow_removals: whether the people who lose their list are meant to, however many they are.
    :raises RemovalBrakeError: when too many people would lose their list, and the program asks nobody.
    :raises SupersededError: when newer recommendations were delivered already; for a scheduled run also when these
        were, or when there are none.
    """
    context = StageContext.of(program_name)
    run = run or context.store(RecommendationsStore).latest_run(by_hand=run_type == "manual")
    if run is None and run_type == "scheduled":
        raise SupersededError("No recommendations were published yet.")
    recommendations = context.store(RecommendationsStore).manifest(run or "none")
    state, etag = context.store(LastSent).read()
    former = (
        context.store(Deliveries).plan(state.open_delivery) if state.open_delivery and not dry_run else None
    )
    if former and (former.dag_run, former.recommendations) == (dag_run, recommendations.run):
        log.info("Delivery %s is planned already and goes on", former.delivery)
        return former
    if run_type == "scheduled" and recommendations.created_at == state.newest.created_at:
        raise SupersededError(
            f"Nothing is newer than recommendations {state.newest.run}, which were pushed already. Trigger this DAG to "
            "push them again."
        )
    if recommendations.created_at < state.newest.created_at:
        raise SupersededError(
            f"Recommendations {recommendations.run} of {recommendations.created_at} are older than {state.newest.run} "
            f"of {state.newest.created_at}, which Braze has already; older lists are never written over newer ones."
        )
    name = delivery_name(recommendations.run)
    if former:
        state, etag = close(context, former, by=name)
    request = _Request(dag_run, dry_run, resync, allow_removals)
    manifest = _publish(context, recommendations, state, name, request)
    if not dry_run:
        newest = Newest(recommendations.run, recommendations.created_at)
        context.store(LastSent).replace(replace(state, open_delivery=name, newest=newest), etag)
    return manifest


def delivery_name(what: str) -> str:
    """Name a new delivery of a recommend run; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{what}"


def _publish(
    context: StageContext,
    recommendations: RecommendationsManifest,
    state: LastSentState,
    name: str,
    request: _Request,
) -> PlanManifest:
    with tempfile.TemporaryDirectory(prefix="recsync-plan-") as folder:
        work = Path(folder)
        inputs = _inputs(context, recommendations, state, work)
        # Once begun, a resync goes on by itself: whoever is not written yet is unknown in the state.
        inputs = replace(inputs, resync=request.resync and not state.resync)
        figures = plan_files(inputs, work / "plan", work)
        brake = (
            ""
            if request.allow_removals
            else delivery_budget.removal_brake(context.program.braze.delivery, figures)
        )
        if brake:
            _brake(context, brake, request)
        if not request.dry_run:
            budget.authorise(context, recommendations.run, delivery(name, figures.data_points))
        manifest = PlanManifest(
            delivery=name,
            recommendations=recommendations.run,
            created_at=datetime.now(UTC).isoformat(),
            dag_run=request.dag_run,
            dry_run=request.dry_run,
            replay_of="",
            figures=figures,
            estimate=estimate(context, figures),
            resync=request.resync,
            brake=brake,
            leave_catalog=recommendations.leave_catalog,
        )
        context.store(Deliveries).publish(manifest, work / "plan", sample(work / "plan"))
    log.info("Plan %s: %s", name, figures)
    return manifest


def _brake(context: StageContext, brake: str, request: _Request) -> None:
    """Stop at too many removals, or say so where a person decides afterwards.

    :raises RemovalBrakeError: when nothing asks a person before the plan is delivered.
    """
    program = context.program
    remedy = (
        f"Look at sql/{program.name}/audience.sql and at the recommendations first: missing input looks like this. If "
        f"it is meant, trigger {program.name}_push with allow_removals (make push … ALLOW_REMOVALS=1), or raise "
        "braze.delivery.max_removed_share in the program file."
    )
    if not request.dry_run and program.braze.delivery.approve_above_users is None:
        raise RemovalBrakeError(f"Nothing was sent: {brake}. {remedy}")
    what = "a push would stop here" if request.dry_run else "a person must approve it"
    log.warning("%s, so %s. %s", brake, what, remedy)


def _inputs(
    context: StageContext, recommendations: RecommendationsManifest, state: LastSentState, work: Path
) -> Inputs:
    braze = context.program.braze
    lists = work / "lists.parquet"
    context.store(RecommendationsStore).download_lists(recommendations.run, lists)
    table = context.store(LastSent).download(state, work / "state.parquet")
    without_suppressed(context, [lists, table])
    if table and recommendations.keep_attributes:
        held = pq.read_table(table)
        others = pc.is_in(held["attribute"], value_set=pa.array(recommendations.keep_attributes))
        pq.write_table(held.filter(pc.invert(others)), table)
    today = datetime.now(UTC).date().isoformat()
    return Inputs(
        braze=braze,
        lists=lists,
        catalogue=context.store(RecommendationsStore).catalogue(recommendations.run),
        state=table,
        cap=delivery_budget.cap(braze.delivery, state.written.get(today, 0)),
        canary_share=braze.delivery.canary_share,
        moment=int(datetime.fromisoformat(recommendations.created_at).timestamp()),
        keep_seconds=context.program.recommendations.keep_days * _DAY_SECONDS,
    )


def estimate(context: StageContext, figures: Figures) -> delivery_budget.Estimate:
    """Say what a plan will take at the limits of the program's Braze connection."""
    rates = BrazeHook(context.program.braze.connection).rate_plan
    return delivery_budget.estimate(
        figures.total_rows,
        figures.object_bytes,
        figures.data_points,
        objects_per_call=rates.objects_per_call,
        bytes_per_call=rates.bytes_per_call,
        requests_per_second=rates.requests_per_second,
    )


def sample(folder: Path) -> list[dict[str, Any]]:
    """Take a few payloads of each part, as they would be sent."""
    payloads = []
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            batches = file.iter_batches(_SAMPLE_PER_PART, columns=["object"])
            objects: pa.Array = next(batches).column("object") if file.metadata.num_rows else []
            payloads += [{"part": part, "object": json.loads(o.as_py())} for o in objects]
    return payloads


def summary(manifest: PlanManifest) -> dict[str, Any]:
    """Give the figures that a person decides by, for XCom and the approval."""
    return {
        "delivery": manifest.delivery,
        "recommendations": manifest.recommendations,
        "dry_run": manifest.dry_run,
        "resync": manifest.resync,
        "brake": manifest.brake,
        **asdict(manifest.estimate),
        **manifest.figures.as_json(),
    }
