"""Build people's lists from the output of a recommend run's jobs, or from an existing output, and publish them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from braze_client.identifiers import Identifier
from recsync import settings
from recsync.context import StageContext
from recsync.costs import usage
from recsync.errors import FatalError
from recsync.program import names
from recsync.recommend import list_tasks
from recsync.recommend.arm_jobs import ArmPlan, arms_of, give_arms
from recsync.recommend.job_outputs import output_keys, output_mapping_of
from recsync.recommend.list_inputs import (
    open_files,
    open_objects,
    people_of_output,
    read_audience,
    read_catalog,
    read_past_lists,
    read_purchases,
    sources,
)
from recsync.recommend.lists.arms import Arms
from recsync.recommend.lists.batch_output import output_names
from recsync.recommend.lists.build import ArmOutput, build_lists
from recsync.recommend.lists.catalog import BAD_ID, DUPLICATE, ItemCatalog
from recsync.recommend.lists.list_partition import ListsReport
from recsync.recommend.lists.output_mapping import OutputMapping, by_user
from recsync.recommend.lists.output_staging import STAGED_SHARE, Source
from recsync.recommend.store import PUSH_PREFIX, RecommendationsManifest, RecommendationsStore
from recsync.storage import machine
from recsync.storage.bucket import Bucket
from recsync.storage.duck import work_folder
from recsync.suppression.store import read_suppression

log = logging.getLogger(__name__)

_LEFT_OUT = "left_out.parquet"
_AUDIENCE_COPIES = 10
_NO_JOBS: Mapping[str, Sequence[str]] = {}
_NO_OUTPUTS: Mapping[str, ArmOutput] = {}


def build_and_publish_lists(
    program_name: str,
    plan: dict[str, Any],
    job_arns: Sequence[str],
    second_job_arns: Sequence[str] = (),
    arm_job_arns: Mapping[str, Sequence[str]] = _NO_JOBS,
    *,
    is_built: bool = False,
) -> dict[str, Any]:
    """Build each person's list from the outputs of the jobs, and publish the lists with the catalog.

    Every person of the audience gets a row: a list, or the reason for having none.

    :param job_arns: the jobs or the campaign of the champion; none when no one in the audience gets it.
    :param second_job_arns: the jobs for the questions that the first ones did not answer.
    :param arm_job_arns: the jobs of each arm with another model.
    :param is_built: whether the tasks of :mod:`list_tasks` have built the lists.
    :returns: the manifest, for the asset event.
    """
    context, run = StageContext.of(program_name), plan["run"]
    moment, experiment = datetime.fromisoformat(plan["created_at"]), ArmPlan.of(plan)
    store = context.store(RecommendationsStore)
    if is_built and list_tasks.is_published(context, run):
        # This task was killed while it removed what the tasks shared.
        list_tasks.remove_spool(context, run)
        return asdict(store.manifest(run))
    usage.record_usage(context, *second_job_arns)
    with work_folder() as folder:
        if is_built:
            report, catalog = list_tasks.collect(context, run)
            _log(report)
        else:
            report, catalog = _build_of_run(context, plan, experiment, len(second_job_arns), folder)
        _check_complete(context, report, plan["output"])
        manifest = _manifest(
            report,
            catalog,
            run,
            moment,
            plan["output"],
            identifier=context.program.braze.known_by,
            solution_version_arn=plan["solution_version_arn"],
            batch_inference_job_arn=", ".join(job_arns),
            filter_expression=(plan.get("filter") or {}).get("expression", ""),
            arms=experiment,
        )
        log.info("%s", manifest.rules_text)
        if not is_built:
            lists, left_out = folder / "lists.parquet", folder / _LEFT_OUT
            store.put_lists(run, range(manifest.files), manifest.files, lists, left_out)
        store.finish(manifest, catalog.table)
    # A campaign is booked while it is asked: it may be gone by now.
    if context.program.personalize.recipe_spec.inference_mode != "campaign":
        usage.record_usage(context, *job_arns, *(arn for arns in arm_job_arns.values() for arn in arns))
    if is_built:
        list_tasks.remove_spool(context, run)
    return asdict(manifest)


def _build_of_run(
    context: StageContext, plan: dict[str, Any], experiment: ArmPlan | None, second_jobs: int, folder: Path
) -> tuple[ListsReport, ItemCatalog]:
    """Build the lists of a run in this task, into ``folder``."""
    run, moment = plan["run"], datetime.fromisoformat(plan["created_at"])
    is_asked = experiment is None or experiment.is_champion_asked
    keys = output_keys(context, plan, second_jobs) if is_asked else []
    audience = folder / "audience.parquet"
    if context.bucket.etag(context.keys.audience(run)) is None:
        raise FatalError(f"The audience of run {run} is gone from S3; start a new run.")
    context.bucket.download(context.keys.audience(run), audience)
    size = sum(context.bucket.size_bytes(key) or 0 for key in keys)
    # The audience is uncompressed when it is split, and its people are in the lists as well.
    needed = int(size * STAGED_SHARE) + _AUDIENCE_COPIES * audience.stat().st_size
    machine.check_disk(folder, needed, "Building the lists")
    catalog = read_catalog(context, moment, run)
    outputs = open_objects(context.bucket, keys)
    mapping = output_mapping_of(context, run, folder) if is_asked else by_user
    with closing(outputs), ExitStack() as opened_outputs:
        of_arms = {}
        for arm, job in experiment.jobs.items() if experiment else ():
            lines = open_objects(context.bucket, output_keys(context, job))
            opened_outputs.callback(lines.close)
            of_arms[arm] = ArmOutput(lines, output_mapping_of(context, run, folder, arm))
        report = _build(
            context, outputs, audience, catalog, moment, folder,
            mapping=mapping, arms=experiment.arms if experiment else None, of_arms=of_arms,
        )  # fmt: skip
    return report, catalog


def publish_output(program_name: str, uri: str) -> RecommendationsManifest:
    """Publish an existing batch output as a recommendations run, without Amazon Personalize.

    The audience is that of ``audience.sql``, or the users of the output when the query returns none of them.

    :param uri: an ``s3://`` folder or object, a local folder or file; ``.out``, ``.jsonl`` or ``.json``, also ``.gz``.
    :raises FatalError: when there is no output, or no list can be built from it.
    """
    context, moment = StageContext.of(program_name), datetime.now(UTC)
    outputs = _outputs(context, uri)
    run = PUSH_PREFIX + names.run_key(f"{uri} {moment.isoformat()}", moment.isoformat())
    with work_folder() as folder:
        audience = folder / "audience.parquet"
        catalog = read_catalog(context, moment, run)
        strata = folder / "strata.parquet" if _has_strata(context) else None
        known = read_audience(context, moment, audience, strata=strata)
        arms = _arms_of_output(context)
        people_by_arm = give_arms(context, run, moment, audience, folder, strata) if known else {}
        report = _build(context, outputs(), audience, catalog, moment, folder, arms=arms)
        if not report.matched:
            suppression = read_suppression(context)
            people = people_of_output(outputs(), audience, suppression, context.program.braze.known_by)
            log.warning(
                "%s knows none of the people of %s (it returns %d): its own %d people are the audience, and Braze is "
                "taken to know them by the same ids",
                context.program.sql_file("audience"), uri, known, people,
            )  # fmt: skip
            people_by_arm = give_arms(context, run, moment, audience, folder, strata)
            report = _build(context, outputs(), audience, catalog, moment, folder, segmented=False, arms=arms)
        _check_complete(context, report, uri)
        if not report.lists and report.unreadable and not report.matched:
            raise FatalError(
                f"{uri} gives nobody a list: none of its {report.unreadable} lines can be read. Each must be a JSON "
                'object with input.userId, a text in quotes ("17" and not 17), and output.recommendedItems, a list of '
                "texts."
            )
        if not report.lists:
            raise FatalError(
                f"{uri} gives nobody a list: {dict(report.suppressed)}, dropped {dict(report.dropped)}. "
                f"Compare its item ids with those of {context.program.sql_file('catalogue')}."
            )
        # Rules of later runs look these people up by user_id.
        context.bucket.upload(context.keys.audience(run), audience)
        identifier = context.program.braze.known_by
        experiment = ArmPlan(arms, people_by_arm or {}, {}) if arms else None
        manifest = _manifest(report, catalog, run, moment, uri, identifier=identifier, arms=experiment)
        log.info("%s", manifest.rules_text)
        context.store(RecommendationsStore).publish(
            manifest, folder / "lists.parquet", catalog.table, folder / _LEFT_OUT
        )
    return manifest


def _arms_of_output(context: StageContext) -> Arms | None:
    """Return the arms for an existing output, which then serves every arm with a model."""
    arms = arms_of(context.program)
    return replace(arms, models=frozenset()) if arms else None


def _has_strata(context: StageContext) -> bool:
    experiment = context.program.experiment
    return bool(experiment and experiment.stratify_by)


def _outputs(context: StageContext, uri: str) -> Callable[[], Generator[Source]]:
    """Find the objects or files of a batch output; each call of the result opens them."""
    if uri.startswith("s3://"):
        bucket_name, _, prefix = uri.removeprefix("s3://").partition("/")
        bucket = Bucket(context.bucket.client, bucket_name)
        is_object = bool(prefix) and bucket.etag(prefix) is not None
        keys = [prefix] if is_object and not prefix.endswith("/") else sources(bucket, prefix)
        return lambda: open_objects(bucket, keys)
    path = Path(uri.removeprefix("file://")).expanduser()
    there = [each.name for each in path.iterdir() if each.is_file()] if path.is_dir() else []
    files = [path] if path.is_file() else [path / name for name in output_names(there)]
    if not files:
        raise FatalError(
            f"{path} is no file and no folder with a batch output (.out, .jsonl or .json, also .gz)."
        )
    return lambda: open_files(files)


def _build(
    context: StageContext,
    outputs: Generator[Source],
    audience: Path,
    catalog: ItemCatalog,
    moment: datetime,
    folder: Path,
    *,
    segmented: bool = True,
    mapping: OutputMapping = by_user,
    arms: Arms | None = None,
    of_arms: Mapping[str, ArmOutput] = _NO_OUTPUTS,
) -> ListsReport:
    policy = context.program.recommendations
    needed = arms.needed(policy) if arms else policy
    purchases = read_purchases(context, moment, folder / "purchases.parquet", needed, catalog)
    past_lists, notes = read_past_lists(context, moment, folder, catalog)
    if not segmented:
        known = tuple(tier for tier in policy.fallback if tier != "popular_in_segment")
        policy = policy.model_copy(update={"fallback": known})
    with closing(outputs), TemporaryDirectory(prefix="spool-", dir=folder) as work:
        report = build_lists(
            outputs,
            audience,
            catalog,
            policy,
            folder / "lists.parquet",
            Path(work),
            moment=moment,
            purchases=purchases,
            past_lists=past_lists,
            mapping=mapping,
            left_out=folder / _LEFT_OUT,
            arms=arms,
            arm_outputs=of_arms,
            with_scores=context.program.needs_scores,
            people_per_file=settings.people_per_file(),
        )
    report.notes = notes
    _log(report)
    return report


def _log(report: ListsReport) -> None:
    if report.unknown_users:
        log.info("%d lines are of people outside the audience", report.unknown_users)
    if report.repeated:
        log.warning("%d further lines of the same people were left out", report.repeated)
    for reason, people in report.unanswered.most_common():
        log.warning("%d people are not answered: %s", people, reason)
    for reason, people in report.suppressed.most_common():
        log.warning("%d people get no list: %s", people, reason)


def _check_complete(context: StageContext, report: ListsReport, output: str) -> None:
    """Raise FatalError when more answers are missing than ``min_answered`` allows."""
    policy = context.program.recommendations
    if report.answered >= policy.min_answered * report.questions:
        return
    reasons = "; ".join(f"{people} people: {reason}" for reason, people in report.unanswered.most_common())
    raise FatalError(
        f"The batch output has answers to {report.answered} of {report.questions} questions, fewer than "
        f"recommendations.min_answered ({policy.min_answered:.0%}) asks for: {reasons}. {report.unreadable} lines are "
        f"unreadable. Nothing was published, and everybody keeps the present list. Look at {output}; run recommend "
        "again, or lower min_answered in the program file."
    )


def _manifest(
    report: ListsReport,
    catalog: ItemCatalog,
    run: str,
    moment: datetime,
    source: str,
    *,
    identifier: Identifier,
    solution_version_arn: str = "",
    batch_inference_job_arn: str = "",
    filter_expression: str = "",
    arms: ArmPlan | None = None,
) -> RecommendationsManifest:
    of_arms: dict[str, Any] = {}
    if arms:
        of_arms = {
            "experiment": arms.arms.experiment,
            "arms": arms.people,
            "held_out": tuple(sorted(arms.arms.nothing)),
            "versions": arms.versions(solution_version_arn) if solution_version_arn else {},
        }
    return RecommendationsManifest(
        run=run,
        identifier=identifier.tag,
        created_at=moment.isoformat(),
        solution_version_arn=solution_version_arn,
        batch_inference_job_arn=batch_inference_job_arn,
        filter=filter_expression,
        users=report.users,
        lists=report.lists,
        suppressed=dict(report.suppressed),
        unanswered=dict(report.unanswered),
        questions=report.questions,
        answered=report.answered,
        items=report.items,
        tiers=dict(report.tiers),
        dropped=dict(report.dropped),
        short=dict(report.short),
        missed=dict(report.missed),
        catalogue_items=len(catalog),
        unusable_items=catalog.report.count(BAD_ID),
        quarantined_items=catalog.report.quarantined,
        repeated_items=catalog.report.count(DUPLICATE),
        strangers=report.unknown_users,
        repeated_lines=report.repeated,
        unreadable_lines=report.unreadable,
        source=source,
        notes=tuple(report.notes),
        files=report.files,
        **of_arms,
    )
