"""Recommend: the audience goes into a batch inference job, lists fit to mail come out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsync import settings
from recsync.core import names
from recsync.core.duck import opened
from recsync.core.lists.audience import check_unique, write_batch_input
from recsync.core.lists.build import ListsReport, build_lists
from recsync.core.lists.catalogue import Catalogue
from recsync.core.lists.output_files import output_names
from recsync.core.lists.output_spool import Source
from recsync.core.local_disk import local_disk
from recsync.errors import FatalError
from recsync.stages.context import StageContext
from recsync.stages.list_inputs import (
    open_files,
    open_objects,
    people_of_output,
    read_audience,
    read_catalogue,
    read_events,
    sources,
)
from recsync.stores.bucket import Bucket
from recsync.stores.recommendations import PUSH_PREFIX, RecommendationsManifest

log = logging.getLogger(__name__)

_FOLDER_PREFIX = "recsync-lists-"


def prepare(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Read the audience, write the job's input, and fix what the run does, so that each retry does the same."""
    context = StageContext.of(program_name)
    champion = context.champions.read()
    if champion is None:
        raise FatalError(f"Program {program_name} has no champion; run {program_name}_train_full first.")
    run = names.run_key(run_id, created_at.isoformat())
    with _work_folder() as folder:
        people, digest = _write_inputs(context, run, created_at, folder)
    log.info("The audience of %s holds %d people", program_name, people)
    exploration = context.program.personalize.exploration
    champion_arn = champion.solution_version_arn
    return {
        "run": run,
        "created_at": created_at.isoformat(),
        # With what goes in: a cleared run with another audience or champion must not adopt the former job's output.
        "job": names.job_name(program_name, "recommend", f"{run_id}{digest}{champion_arn}"),
        "solution_version_arn": champion_arn,
        "input": context.bucket.uri(context.keys.batch_input(run)),
        "output": context.bucket.uri(context.keys.batch_output(run)),
        "role_arn": settings.role_arn_of(context.program),
        "config": _exploration_config(exploration.weight, exploration.item_age_cut_off_days)
        if context.program.personalize.recipe == "aws-user-personalization"
        else None,
        "users": people,
    }


@contextmanager
def _work_folder() -> Generator[Path]:
    """Give a folder on the local disk for one piece of work."""
    with TemporaryDirectory(prefix=_FOLDER_PREFIX) as name, local_disk(Path(name)):
        yield Path(name)


def _exploration_config(weight: float, cut_off_days: float) -> dict[str, Any]:
    explore = {"explorationWeight": f"{weight:g}", "explorationItemAgeCutOff": f"{cut_off_days:g}"}
    return {"itemExplorationConfig": explore}


def _write_inputs(context: StageContext, run: str, moment: datetime, folder: Path) -> tuple[int, str]:
    """Write the audience and the job's input; before anything is paid for, so what is wrong with them stops here.

    :returns: how many people there are, and a digest of the job's input.
    """
    audience, users = folder / "audience.parquet", folder / "users.json"
    people = read_audience(context, moment, audience)
    if not people:
        raise FatalError(
            f"{context.program.sql_file('audience')} returns nobody; an empty audience would remove every list. "
            "Check the query."
        )
    with opened(folder) as connection:
        check_unique(connection, audience)
        write_batch_input(connection, audience, users)
    context.bucket.upload(context.keys.audience(run), audience)
    context.bucket.upload(context.keys.batch_input(run), users)
    with users.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return people, digest


def decorate(program_name: str, plan: dict[str, Any], batch_inference_job_arn: str) -> dict[str, Any]:
    """Turn the job's output into lists fit to mail, and publish them with the catalogue.

    Every person of the audience gets an entry: a list, or a reason why there is none.

    :returns: the manifest, for the asset event.
    """
    context, run = StageContext.of(program_name), plan["run"]
    moment = datetime.fromisoformat(plan["created_at"])
    keys = sources(context.bucket, context.keys.batch_output(run))
    with _work_folder() as folder:
        audience = folder / "audience.parquet"
        if context.bucket.etag(context.keys.audience(run)) is None:
            raise FatalError(f"The audience of run {run} is gone from S3; start a new run.")
        context.bucket.download(context.keys.audience(run), audience)
        catalogue = read_catalogue(context, moment)
        outputs = open_objects(context.bucket, keys)
        report = _build(context, outputs, audience, catalogue, moment, folder)
        manifest = _manifest(
            report, catalogue, run, moment, context.bucket.uri(context.keys.batch_output(run))
        )
        manifest |= {
            "solution_version_arn": plan["solution_version_arn"],
            "batch_inference_job_arn": batch_inference_job_arn,
        }
        context.recommendations.publish(
            RecommendationsManifest(**manifest), folder / "lists.parquet", catalogue.table
        )
    return manifest


def publish_output(program_name: str, uri: str) -> RecommendationsManifest:
    """Publish an existing batch output as a recommendations run, without Amazon Personalize.

    The people are those of ``audience.sql``; when it knows none of the output's, they are the output's own.

    :param uri: an ``s3://`` prefix or object, a local folder or file; ``.out``, ``.jsonl`` or ``.json``, also packed
        (``.gz``).
    :raises FatalError: when nothing is there, or no list would come of it.
    """
    context, moment = StageContext.of(program_name), datetime.now(UTC)
    outputs = _outputs(context, uri)
    run = PUSH_PREFIX + names.run_key(f"{uri} {moment.isoformat()}", moment.isoformat())
    with _work_folder() as folder:
        audience = folder / "audience.parquet"
        catalogue = read_catalogue(context, moment)
        known = read_audience(context, moment, audience)
        report = _build(context, outputs(), audience, catalogue, moment, folder)
        if not report.matched:
            people = people_of_output(outputs(), audience)
            log.warning(
                "%s knows none of the people of %s (it returns %d): its own %d people are the audience, and Braze is "
                "taken to know them by the same ids",
                context.program.sql_file("audience"), uri, known, people,
            )  # fmt: skip
            report = _build(context, outputs(), audience, catalogue, moment, folder, segmented=False)
        if not report.lists:
            raise FatalError(
                f"{uri} gives nobody a list: {dict(report.suppressed)}, dropped {dict(report.dropped)}. "
                f"Compare its item ids with those of {context.program.sql_file('catalogue')}."
            )
        manifest = RecommendationsManifest(**_manifest(report, catalogue, run, moment, uri))
        context.recommendations.publish(manifest, folder / "lists.parquet", catalogue.table)
    return manifest


def _outputs(context: StageContext, uri: str) -> Callable[[], Generator[Source]]:
    """Find the objects or files of a batch output; the result opens them, as often as it is called."""
    if uri.startswith("s3://"):
        bucket_name, _, prefix = uri.removeprefix("s3://").partition("/")
        bucket = Bucket(context.bucket.client, bucket_name)
        keys = [prefix] if prefix in bucket.keys(prefix) else sources(bucket, prefix)
        return lambda: open_objects(bucket, keys)
    path = Path(uri.removeprefix("file://")).expanduser()
    files = [path] if path.is_file() else [path / name for name in output_names(_files_in(path))]
    if not files:
        raise FatalError(
            f"{path} is no file and no folder with a batch output (.out, .jsonl or .json, also .gz)."
        )
    return lambda: open_files(files)


def _files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _build(
    context: StageContext,
    outputs: Generator[Source],
    audience: Path,
    catalogue: Catalogue,
    moment: datetime,
    folder: Path,
    *,
    segmented: bool = True,
) -> ListsReport:
    events = read_events(context, moment, folder / "events.parquet")
    policy = context.program.recommendations
    if not segmented:
        known = tuple(tier for tier in policy.fallback if tier != "popular_in_segment")
        policy = policy.model_copy(update={"fallback": known})
    with closing(outputs), TemporaryDirectory(prefix="spool-", dir=folder) as work:
        report = build_lists(
            outputs,
            audience,
            catalogue,
            policy,
            folder / "lists.parquet",
            Path(work),
            moment=moment,
            events=events,
        )
    if report.strangers:
        log.info("%d lines are of people outside the audience", report.strangers)
    if report.repeated:
        log.warning("%d further lines of the same people were left out", report.repeated)
    for reason, people in report.suppressed.most_common():
        log.warning("%d people get no list: %s", people, reason)
    return report


def _manifest(
    report: ListsReport, catalogue: Catalogue, run: str, moment: datetime, source: str
) -> dict[str, Any]:
    return asdict(
        RecommendationsManifest(
            run=run,
            created_at=moment.isoformat(),
            solution_version_arn="",
            batch_inference_job_arn="",
            users=report.users,
            lists=report.lists,
            suppressed=dict(report.suppressed),
            items=report.items,
            tiers=dict(report.tiers),
            dropped=dict(report.dropped),
            catalogue_items=len(catalogue),
            strangers=report.strangers,
            repeated_lines=report.repeated,
            unreadable_lines=report.unreadable,
            source=source,
        )
    )
