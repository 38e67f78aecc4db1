"""Prepare inference for the audience, then build and publish lists from its output."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from braze_client.identifiers import Identifier
from recsync import settings
from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.errors import FatalError
from recsync.evaluation.store import Champion, ChampionStore
from recsync.program import names
from recsync.program.recipes import RECIPES
from recsync.recommend.filters import active_filter
from recsync.recommend.job_inputs import output_mapping_of, write_inputs, write_segment_of_audience
from recsync.recommend.list_inputs import (
    open_files,
    open_objects,
    people_of_output,
    read_audience,
    read_catalog,
    read_events,
    read_past_lists,
    sources,
)
from recsync.recommend.lists.batch_output import output_names
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import BAD_ID, DUPLICATE, ItemCatalog
from recsync.recommend.lists.list_partition import ListsReport
from recsync.recommend.lists.output_mapping import OutputMapping, by_user
from recsync.recommend.lists.output_staging import Source
from recsync.recommend.store import PUSH_PREFIX, RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.duck import work_folder
from recsync.suppression.store import read_suppression

log = logging.getLogger(__name__)

_LEFT_OUT = "left_out.parquet"


def prepare_segment(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Write the input of the segment job that limits the audience.

    :returns: arguments of the job.
    """
    context = StageContext.of(program_name)
    version, owner = _champion(context).segment_version_arn, context.program.model_owner.name
    if not version:
        raise FatalError(
            f"The champion of {owner} was trained before the program had an audience.segment; run {owner}_train_full."
        )
    run = names.run_key(run_id, created_at.isoformat())
    with work_folder() as folder:
        digest = write_segment_of_audience(context, run, created_at, folder)
    segment = context.program.audience.segment
    people = segment.users_per_item if segment else 0
    job = {
        "job": names.job_name(program_name, "segment", f"{run_id}{digest}{version}{people}"),
        "solution_version_arn": version,
        "input": context.bucket.uri(context.keys.segment_input(run)),
        "output": context.bucket.uri(context.keys.segment_output(run)),
        "role_arn": settings.role_arn_of(context.program),
    }
    budget.check_budget(context, run, estimate.audience_segment(context, job))
    return job


def prepare(
    program_name: str, run_id: str, created_at: datetime, segment_job_arn: str | None = None
) -> dict[str, Any]:
    """Read the audience, write the job's input, and plan the run, so that each retry does the same.

    :param segment_job_arn: the segment job of this run, where the program limits its audience by one.
    """
    context = StageContext.of(program_name)
    usage.record_usage(context, segment_job_arn)
    champion_arn = _champion(context).solution_version_arn
    run = names.run_key(run_id, created_at.isoformat())
    with work_folder() as folder:
        found_in = context.keys.segment_output(run) if segment_job_arn else None
        people, digest = write_inputs(context, run, created_at, folder, found_in=found_in)
    log.info("The audience of %s holds %d people", program_name, people)
    chosen = active_filter(context.program, created_at)
    # The name depends on the input: a cleared run with another audience, champion, filter or settings must neither
    # adopt the former job's output nor be refused because that job differs.
    config = _job_config(context, champion_arn)
    settled = f"{context.program.personalize.results}{config}"
    asked_of = f"{run_id}{digest}{champion_arn}{chosen.name if chosen else ''}{settled}"
    job = names.job_name(program_name, "recommend", asked_of)
    # Responses of a campaign are kept in parts, so each input needs a separate folder.
    asked = context.program.personalize.recipe_spec.inference_mode == "campaign"
    output = context.keys.batch_output(f"{run}-{job.rsplit('-', 1)[-1]}" if asked else run)
    plan = {
        "run": run,
        "created_at": created_at.isoformat(),
        "job": job,
        "solution_version_arn": champion_arn,
        "input": context.bucket.uri(context.keys.batch_input(run)),
        "output": context.bucket.uri(output),
        "role_arn": settings.role_arn_of(context.program),
        "config": config,
        "users": people,
        "filter": asdict(chosen) if chosen else None,
        "campaign": names.campaign_name(context.program),
        "campaign_arn": f"{champion_arn.rsplit(':', 1)[0]}:campaign/{names.campaign_name(context.program)}",
    }
    budget.check_budget(context, run, estimate.inference(context, plan))
    return plan


def _job_config(context: StageContext, champion_arn: str) -> dict[str, Any] | None:
    """Return the job settings for the champion's recipe, which may be a challenger's."""
    personalize = context.program.personalize
    recipe = names.recipe_of_version(context.program, champion_arn)
    return personalize.job_config_of(RECIPES[recipe] if recipe else personalize.recipe_spec)


def _champion(context: StageContext) -> Champion:
    champion, name, personalize = (
        context.store(ChampionStore).read(),
        context.program.model_owner.name,
        context.program.personalize,
    )
    if champion is None:
        raise FatalError(f"Program {name} has no champion; run {name}_train_full first.")
    recipe, wanted = (
        names.recipe_of_version(context.program, champion.solution_version_arn),
        personalize.recipe,
    )
    if recipe and RECIPES[recipe].input_type is not personalize.recipe_spec.input_type:
        raise FatalError(
            f"The champion of {name} is of {recipe}, which cannot be asked as personalize.recipe {wanted} is; run "
            f"{name}_train_full first, or take the former recipe until it has run."
        )
    return champion


def build_and_publish_lists(
    program_name: str, plan: dict[str, Any], batch_inference_job_arn: str, second_job_arn: str | None = None
) -> dict[str, Any]:
    """Build each person's list from the job's output, and publish the lists with the catalog.

    Every person of the audience gets a row: a list, or the reason for having none.

    :param second_job_arn: the job for the questions that the first one did not answer; None without one.
    :returns: the manifest, for the asset event.
    """
    context, run = StageContext.of(program_name), plan["run"]
    moment = datetime.fromisoformat(plan["created_at"])
    prefix = plan["output"].removeprefix(context.bucket.uri(""))
    keys = sources(context.bucket, prefix)
    if second_job_arn:
        usage.record_usage(context, second_job_arn)
        keys += sources(context.bucket, context.keys.second_output(run))
    with work_folder() as folder:
        audience = folder / "audience.parquet"
        if context.bucket.etag(context.keys.audience(run)) is None:
            raise FatalError(f"The audience of run {run} is gone from S3; start a new run.")
        context.bucket.download(context.keys.audience(run), audience)
        catalog = read_catalog(context, moment, run)
        outputs = open_objects(context.bucket, keys)
        mapping = output_mapping_of(context, run, folder)
        report = _build(context, outputs, audience, catalog, moment, folder, mapping=mapping)
        _check_complete(context, report, plan["output"])
        manifest = _manifest(
            report,
            catalog,
            run,
            moment,
            plan["output"],
            identifier=context.program.braze.known_by,
            solution_version_arn=plan["solution_version_arn"],
            batch_inference_job_arn=batch_inference_job_arn,
            filter_expression=(plan.get("filter") or {}).get("expression", ""),
        )
        log.info("%s", manifest.rules_text)
        context.store(RecommendationsStore).publish(
            manifest, folder / "lists.parquet", catalog.table, folder / _LEFT_OUT
        )
    # A campaign is booked while it is asked: it may be gone by now.
    if context.program.personalize.recipe_spec.inference_mode != "campaign":
        usage.record_usage(context, batch_inference_job_arn)
    return asdict(manifest)


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
        known = read_audience(context, moment, audience)
        report = _build(context, outputs(), audience, catalog, moment, folder)
        if not report.matched:
            suppression = read_suppression(context)
            people = people_of_output(outputs(), audience, suppression, context.program.braze.known_by)
            log.warning(
                "%s knows none of the people of %s (it returns %d): its own %d people are the audience, and Braze is "
                "taken to know them by the same ids",
                context.program.sql_file("audience"), uri, known, people,
            )  # fmt: skip
            report = _build(context, outputs(), audience, catalog, moment, folder, segmented=False)
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
        manifest = _manifest(report, catalog, run, moment, uri, identifier=identifier)
        log.info("%s", manifest.rules_text)
        context.store(RecommendationsStore).publish(
            manifest, folder / "lists.parquet", catalog.table, folder / _LEFT_OUT
        )
    return manifest


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
) -> ListsReport:
    events = read_events(context, moment, folder / "events.parquet")
    past_lists, notes = read_past_lists(context, moment, folder, catalog)
    policy = context.program.recommendations
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
            events=events,
            past_lists=past_lists,
            mapping=mapping,
            left_out=folder / _LEFT_OUT,
            with_scores=policy.rules.needs_scores
            or any(attribute.source == "scores" for attribute in context.program.braze.attributes),
        )
    report.notes = notes
    if report.unknown_users:
        log.info("%d lines are of people outside the audience", report.unknown_users)
    if report.repeated:
        log.warning("%d further lines of the same people were left out", report.repeated)
    for reason, people in report.unanswered.most_common():
        log.warning("%d people are not answered: %s", people, reason)
    for reason, people in report.suppressed.most_common():
        log.warning("%d people get no list: %s", people, reason)
    return report


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
) -> RecommendationsManifest:
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
    )
