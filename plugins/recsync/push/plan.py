"""Plan a delivery: what must be written to Braze.

The plan compares the published lists with the last-sent state, never with Braze, and renders every payload: the
delivery only posts them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braze_client.identifiers import Identifier
from recsync.context import StageContext
from recsync.costs.budget import check_budget
from recsync.costs.estimate import delivery_charges
from recsync.errors import FatalError
from recsync.program.names import RETIRE_PREFIX
from recsync.push import plan_format
from recsync.push.braze_hook import BrazeHook
from recsync.push.closing import close
from recsync.push.diff import PlanInputs
from recsync.push.plan_files import plan_files
from recsync.push.plan_format import PARTS, PlanFigures
from recsync.push.store import Deliveries, LastSent, LastSentState, Newest, PlanManifest
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.duck import modest_allocator, work_folder
from recsync.suppression.store import PERSON, read_suppression

log = logging.getLogger(__name__)

# Sample payloads to look at before approving.
_SAMPLE_PER_PART = 5
_DAY_SECONDS = 86_400


class RemovalBrakeError(FatalError):
    """More users would lose their list than the program allows."""


class SupersededError(Exception):
    """These recommendations, or newer ones, were pushed before, or they are too old for a scheduled run."""


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

    A delivery that was begun and not completed is closed first: what it settled goes into the last-sent state, and
    the rest is planned anew. A retry of the same run adopts its plan instead.

    :param run: the recommend run to deliver; None takes the newest published one.
    :param dag_run: the push run of this task.
    :param run_type: why Airflow started it. Only a manual run delivers what ``make push`` published. A scheduled run
        makes up for a missed asset event: it delivers only recommendations that were never pushed.
    :param dry_run: plan only: the plan cannot be delivered, and no other delivery is touched.
    :param resync: write every user, whatever the last-sent state says. An incomplete resync goes on with the users
        that are not written yet.
    :param allow_removals: removals are intended, however many they are.
    :raises RemovalBrakeError: when too many users would lose their list, and the program has no approval.
    :raises SupersededError: when newer recommendations were delivered already; for a scheduled run also when these
        were, or when there are none.
    """
    context = StageContext.of(program_name)
    deliveries, last_sent = context.store(Deliveries), context.store(LastSent)
    published = context.store(RecommendationsStore)
    run = run or published.latest_run(by_hand=run_type == "manual")
    if run is None and run_type == "scheduled":
        raise SupersededError("No recommendations were published yet.")
    recommendations = published.manifest(run or "none")
    state, etag = last_sent.read()
    former = deliveries.plan(state.open_delivery) if state.open_delivery and not dry_run else None
    if former and (former.dag_run, former.recommendations) == (dag_run, recommendations.run):
        log.info("Delivery %s is planned already and goes on", former.delivery)
        return former
    _assert_newest(recommendations, state.newest, is_scheduled=run_type == "scheduled")
    _assert_fresh(context, recommendations, is_scheduled=run_type == "scheduled")
    name = delivery_name(recommendations.run)
    if former:
        state, etag = close(context, former, by=name)
    identifier = _identifier(context, recommendations, state)
    is_renamed = bool(state.table) and identifier.tag != state.identifier
    state = _renamed(state, identifier)
    with work_folder() as work, modest_allocator():
        inputs = replace(_inputs(context, recommendations, state, work), identifier=identifier)
        # A resync marks the whole state as unknown once; later plans continue it without this flag.
        inputs = replace(inputs, resync=resync and not state.resync)
        figures = plan_files(inputs, work / "plan", work)
        brake = "" if allow_removals else plan_format.removal_brake(context.program.braze.delivery, figures)
        if brake:
            _brake(context, brake, dry_run=dry_run)
        manifest = publish_plan(
            context,
            figures,
            work / "plan",
            what=recommendations.run,
            delivery=name,
            recommendations=recommendations.run,
            dag_run=dag_run,
            dry_run=dry_run,
            resync=resync or is_renamed,
            brake=brake,
            identifier=identifier.tag,
            leave_catalog=recommendations.leave_catalog,
            moment=inputs.moment,
        )
    if not dry_run:
        newest = Newest(recommendations.run, recommendations.created_at)
        last_sent.replace(replace(state, open_delivery=name, newest=newest), etag)
    return manifest


def _identifier(
    context: StageContext, recommendations: RecommendationsManifest, state: LastSentState
) -> Identifier:
    """Return the identifier of the plan; a retirement uses the one that the lists were written with.

    :raises FatalError: when the recommendations were made before ``braze.identifier`` was changed.
    """
    wanted = context.program.braze.known_by
    if recommendations.run.startswith(RETIRE_PREFIX):
        return Identifier.parse(state.identifier) if state.table else wanted
    if recommendations.identifier != wanted.tag:
        raise FatalError(
            f"Recommendations {recommendations.run} name people by {recommendations.identifier}, and the program file "
            f"by {wanted.tag} (braze.identifier). Start {context.program.name}_recommend first; nothing was sent."
        )
    return wanted


def _renamed(state: LastSentState, identifier: Identifier) -> LastSentState:
    """Return an empty state for another identifier: who is who by both is not known."""
    if identifier.tag == state.identifier:
        return state
    if state.table:
        log.warning(
            "The program names people by %s now, and by %s before: everybody in the audience is written again, and "
            "whoever is no longer in it keeps what Braze has",
            identifier.tag, state.identifier,
        )  # fmt: skip
    former = (*state.former_identifiers, *([state.identifier] if state.table else []))
    former = tuple(dict.fromkeys(former))
    return replace(
        state, table="", resync="", refused=0, identifier=identifier.tag, former_identifiers=former
    )


def _assert_newest(recommendations: RecommendationsManifest, newest: Newest, *, is_scheduled: bool) -> None:
    if is_scheduled and recommendations.created_at == newest.created_at:
        raise SupersededError(
            f"Nothing is newer than recommendations {newest.run}, which were pushed already. Trigger this DAG to push "
            "them again."
        )
    if recommendations.created_at < newest.created_at:
        raise SupersededError(
            f"Recommendations {recommendations.run} of {recommendations.created_at} are older than {newest.run} of "
            f"{newest.created_at}, which Braze has already; older lists are never written over newer ones."
        )


def _assert_fresh(
    context: StageContext, recommendations: RecommendationsManifest, *, is_scheduled: bool
) -> None:
    """Check that the lists are not too old to be mailed; a retirement has none."""
    max_age, name = context.program.recommendations.max_age, context.program.name
    age = datetime.now(UTC) - datetime.fromisoformat(recommendations.created_at)
    if max_age is None or age <= max_age or recommendations.run.startswith(RETIRE_PREFIX):
        return
    text = (
        f"Recommendations {recommendations.run} were generated {age.days} days ago, and recommendations.max_age_days "
        f"({max_age.days}) lets nobody have older lists. Run {name}_recommend; nothing was sent."
    )
    raise SupersededError(text) if is_scheduled else FatalError(text)


def publish_plan(
    context: StageContext, figures: PlanFigures, folder: Path, *, what: str, **fields: Any
) -> PlanManifest:
    """Publish the plan's files in ``folder``, within the budget.

    :param what: names the plan in an error of the budget.
    :param fields: of the manifest.
    """
    now = datetime.now(UTC).isoformat()
    estimate = plan_format.estimate(figures, BrazeHook(context.program.braze.connection).rate_plan)
    manifest = PlanManifest(created_at=now, figures=figures, estimate=estimate, **fields)
    if not manifest.dry_run:
        check_budget(context, what, delivery_charges(manifest.delivery, figures.data_points))
    context.store(Deliveries).publish(manifest, folder, _sample(folder))
    log.info("Plan %s: %s", manifest.delivery, figures)
    return manifest


def delivery_name(recommendations: str) -> str:
    """Name a new delivery of a recommend run; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{recommendations}"


def _brake(context: StageContext, brake: str, *, dry_run: bool) -> None:
    """Stop at too many removals, or log them where a person approves the plan.

    :raises RemovalBrakeError: when the program has no approval.
    """
    program = context.program
    remedy = (
        f"Look at sql/{program.name}/audience.sql and at the recommendations first: missing input looks like this. If "
        f"it is meant, trigger {program.name}_push with allow_removals (make push … ALLOW_REMOVALS=1), or raise "
        "braze.delivery.max_removed_share in the program file."
    )
    if not dry_run and program.braze.delivery.approve_above_users is None:
        raise RemovalBrakeError(f"Nothing was sent: {brake}. {remedy}")
    what = "a push would stop here" if dry_run else "a person must approve it"
    log.warning("%s, so %s. %s", brake, what, remedy)


def _inputs(
    context: StageContext, recommendations: RecommendationsManifest, state: LastSentState, work: Path
) -> PlanInputs:
    braze, policy = context.program.braze, context.program.recommendations
    lists = work / "lists.parquet"
    catalogue = context.store(RecommendationsStore).download(recommendations.run, lists)
    table = context.store(LastSent).download(state, work / "state.parquet")
    without_suppressed(context, [lists, table])
    if table and recommendations.keep_attributes:
        held = pq.read_table(table)
        others = pc.is_in(held["attribute"], value_set=pa.array(recommendations.keep_attributes))
        pq.write_table(held.filter(pc.invert(others)), table)
    today = datetime.now(UTC).date().isoformat()
    return PlanInputs(
        braze=braze,
        lists=lists,
        catalogue=catalogue,
        state=table,
        cap=plan_format.cap(braze.delivery, state.written.get(today, 0)),
        canary_share=braze.delivery.canary_share,
        moment=int(datetime.fromisoformat(recommendations.created_at).timestamp()),
        keep_seconds=policy.keep_days * _DAY_SECONDS,
        refresh_seconds=None if policy.warn_age is None else int(policy.warn_age.total_seconds()),
        run={
            **{name: text for name, text in vars(recommendations).items() if isinstance(text, str)},
            "versions": recommendations.versions,
        },
        held_out=recommendations.held_out,
    )


def _sample(folder: Path) -> list[dict[str, Any]]:
    """Return a few payloads of each part, as they would be sent."""
    payloads = []
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            batches = file.iter_batches(_SAMPLE_PER_PART, columns=["object"])
            objects: pa.Array = next(batches).column("object") if file.metadata.num_rows else []
            payloads += [{"part": part, "object": json.loads(o.as_py())} for o in objects]
    return payloads


def summary(manifest: PlanManifest) -> dict[str, Any]:
    """Return the plan's figures, for XCom and the approval."""
    return {
        "delivery": manifest.delivery,
        "recommendations": manifest.recommendations,
        "dry_run": manifest.dry_run,
        "resync": manifest.resync,
        "identifier": manifest.identifier,
        "brake": manifest.brake,
        **asdict(manifest.estimate),
        **asdict(manifest.figures),
    }


def without_suppressed(context: StageContext, files: Iterable[Path | None]) -> None:
    """Remove suppressed users from local Parquet files with a column ``external_id``, the last-sent state too.

    A removal would create a new profile for a user who was deleted in Braze.
    """
    suppression = read_suppression(context)
    if not suppression.lists(PERSON):
        return
    for path in filter(None, files):
        filtered = path.with_suffix(".filtered")
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(filtered, file.schema_arrow, compression="zstd") as writer,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                found = suppression.mask(PERSON, table.column("external_id").combine_chunks())
                writer.write_table(table.filter(pa.array(~found)))
        filtered.replace(path)
