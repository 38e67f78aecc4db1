"""Build the lists of a run in several tasks on as many workers: divide, shuffle over S3, build, collect.

One task reads catalog, purchases and past lists, so that all build from the same. Each of the next ones reads a share
of the bytes of the output and of the rows of the tables, and writes it split by user, a piece for each task that
builds. Those read the pieces of their users in the order of the output, and write whole files of lists. The files are
the same as those that one task writes.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program.recipes import InputType
from recsync.recommend.arm_jobs import ArmPlan
from recsync.recommend.job_outputs import asked_users, output_keys, output_mapping_of
from recsync.recommend.list_inputs import open_objects, read_catalog, read_past_lists, read_purchases
from recsync.recommend.list_spool import (
    AUDIENCE_ROWS,
    CATALOG,
    HISTORY,
    PURCHASE_ROWS,
    WORK,
    ListSpool,
    ListWork,
    output_rows,
    past_rows,
)
from recsync.recommend.lists.arms import CHAMPION
from recsync.recommend.lists.batch_output import unpacked
from recsync.recommend.lists.build import ListBuilder, check_conflicts, check_segments, summary_of
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.catalog_file import load_catalog, write_catalog
from recsync.recommend.lists.history import History
from recsync.recommend.lists.list_partition import ListsReport
from recsync.recommend.lists.output_mapping import (
    MappingContext,
    OutputMapping,
    by_staged_lines,
    by_user,
)
from recsync.recommend.lists.output_shares import LineRange, LineStream, share_of
from recsync.recommend.lists.output_staging import (
    SCORED,
    STAGED,
    STAGED_SHARE,
    Source,
    stage_output,
)
from recsync.recommend.lists.partitions import PartitionPlan, Partitions, Pieces, rows_of_share
from recsync.recommend.store import RecommendationsStore
from recsync.storage import machine
from recsync.storage.bucket import Bucket
from recsync.storage.duck import local_disk, modest_allocator, opened, work_folder

log = logging.getLogger(__name__)

# The lines of these outputs are about users, so they are split by user; other outputs are small, and every task that
# builds reads them as a whole.
_BY_USER = frozenset({InputType.USER, InputType.ACTIONS, InputType.RANKING})


def divide(program_name: str, plan: Mapping[str, Any], second_jobs: int, tasks: int) -> list[dict[str, Any]]:
    """Read what all tasks need and divide the work among them.

    :param second_jobs: number of jobs for the questions that the first ones did not answer.
    :param tasks: how many tasks may build; fewer when there are fewer files.
    :returns: an argument for each task.
    """
    context, run = StageContext.of(program_name), plan["run"]
    moment, experiment = datetime.fromisoformat(plan["created_at"]), ArmPlan.of(dict(plan))
    policy = context.program.recommendations
    needed = experiment.arms.needed(policy) if experiment else policy
    with work_folder() as folder, modest_allocator():
        spool = ListSpool(context, run, folder)
        audience = folder / "audience.parquet"
        context.bucket.download(context.keys.audience(run), audience)
        catalog = read_catalog(context, moment, run)
        purchases = read_purchases(context, moment, folder / "purchases.parquet", needed, catalog)
        past_lists, notes = read_past_lists(context, moment, folder, catalog)
        with local_disk(folder), opened(folder, memory_limit=machine.duckdb_memory()) as connection:
            # The task prepare has checked that no Braze user is in the audience twice.
            check_segments(connection, audience, policy)
            history = summary_of(connection, purchases, audience, catalog, needed, moment)
        if history and purchases:
            history.save(folder / HISTORY)
            spool.upload(HISTORY, folder / HISTORY)
            spool.upload(f"{PURCHASE_ROWS}.parquet", purchases)
        write_catalog(catalog, folder / CATALOG)
        spool.upload(CATALOG, folder / CATALOG)
        for rule, files in past_lists.items():
            for number, path in enumerate(files):
                spool.upload(f"{past_rows(rule, number)}.parquet", path)
        partitions = PartitionPlan.of(
            pq.read_metadata(audience).num_rows,
            sum(map(len, past_lists.values())),
            people_per_file=settings.people_per_file(),
        )
    is_asked = experiment is None or experiment.is_champion_asked
    keys = {CHAMPION: output_keys(context, plan, second_jobs) if is_asked else []}
    keys |= {arm: output_keys(context, job) for arm, job in (experiment.jobs if experiment else {}).items()}
    work = ListWork(
        uuid.uuid4().hex,
        max(1, min(tasks, partitions.files)),
        partitions,
        {job: [(key, context.bucket.size_bytes(key) or 0) for key in found] for job, found in keys.items()},
        {rule: len(files) for rule, files in past_lists.items()},
        context.program.personalize.recipe_spec.input_type in _BY_USER,
        history is not None,
        context.program.needs_scores,
        notes,
    )
    spool.put_json(WORK, asdict(work))
    log.info(
        "%d tasks build %d files of lists of %d partitions", work.tasks, partitions.files, partitions.parts
    )
    return [{"task": task} for task in range(work.tasks)]


def stage(program_name: str, run: str, task: int) -> None:
    """Split a share of the outputs and tables by user, a piece for each task that builds."""
    context, unreadable = StageContext.of(program_name), 0
    with work_folder() as folder, modest_allocator(), local_disk(folder):
        spool = ListSpool(context, run, folder)
        work = spool.work()
        needed = int(work.output_bytes * STAGED_SHARE / work.tasks)
        machine.check_disk(folder, needed, "Staging a share of the output")
        for name, (key, schema) in spool.tables(work).items():
            stream = context.bucket.open(key)
            if stream is None:
                raise FatalError(f"{context.bucket.uri(key)} is gone from S3; start a new run.")
            with stream, pq.ParquetFile(stream, pre_buffer=True) as file:
                rows = Partitions(folder / name, schema, work.plan.parts)
                rows.fill(rows_of_share(file, task, work.tasks))
            spool.write_pieces(work, name, task, rows)
        if work.is_by_user:
            catalog = load_catalog(spool.download(CATALOG))
            for job, objects in work.outputs.items():
                name, schema = output_rows(job), SCORED if work.with_scores else STAGED
                lines = Partitions(folder / name, schema, work.plan.parts)
                with closing(open_ranges(context.bucket, share_of(objects, task, work.tasks))) as sources:
                    unreadable += stage_output(sources, catalog, lines).unreadable
                spool.write_pieces(work, name, task, lines)
        spool.put_json(f"staged-{task}.json", {"stamp": work.stamp, "unreadable": unreadable})


def build(program_name: str, plan: Mapping[str, Any], task: int) -> None:
    """Build the files of lists that are the share of a task."""
    context, run = StageContext.of(program_name), plan["run"]
    experiment = ArmPlan.of(dict(plan))
    with work_folder() as folder, modest_allocator(), local_disk(folder):
        spool = ListSpool(context, run, folder)
        work = spool.work()
        files = work.plan.share(task, work.tasks)
        inside = work.plan.inside(files)
        for other in range(work.tasks):
            work.check(spool.get_json(f"staged-{other}.json"), f"What task {other} staged")
        catalog = load_catalog(spool.download(CATALOG))
        history = History.load(spool.download(HISTORY)) if work.with_history else None
        names = [*spool.tables(work), *(map(output_rows, work.outputs) if work.is_by_user else ())]
        needed = sum(spool.pieces_bytes(work, name, task) for name in names)
        machine.check_disk(folder, 3 * needed // 2, "Building a share of the lists")
        rows = {name: spool.pieces(work, name, task, inside) for name in names}
        where = MappingContext(
            catalog, rows[AUDIENCE_ROWS], work.plan.parts, folder, work.with_scores, inside
        )
        answers = {}
        for job, objects in work.outputs.items():
            with closing(
                open_objects(context.bucket, [] if work.is_by_user else [key for key, _ in objects])
            ) as lines:
                mapping = _mapping(spool, job, work, rows)
                answers[job] = mapping(lines, replace(where, folder=folder / f"mapped-{job}"))
        past: dict[str, list[Pieces]] = {rule: [] for rule in work.past_lists}
        for rule, name in work.past_tables:
            past[rule].append(rows[name])
        builder = ListBuilder(
            rows[AUDIENCE_ROWS],
            answers,
            catalog,
            context.program.recommendations,
            history,
            rows.get(PURCHASE_ROWS),
            {rule: _Joined(tables) for rule, tables in past.items()},
            experiment.arms if experiment else None,
            explained=True,
        )
        lists, left_out = folder / "lists.parquet", folder / "left_out.parquet"
        report, used = builder.write(work.plan, files, lists, left_out)
        context.store(RecommendationsStore).put_lists(run, files, work.plan.files, lists, left_out)
        np.save(folder / "used.npy", used)
        spool.upload(f"used-{task}.npy", folder / "used.npy")
        # Of outputs that every task has read as a whole.
        of_whole = {
            "unreadable": sum(each.unreadable for each in answers.values()),
            "questions": answers[CHAMPION].questions,
        }
        document = {"stamp": work.stamp, "report": vars(report), **of_whole}
        spool.put_json(f"built-{task}.json", document)


def collect(context: StageContext, run: str) -> tuple[ListsReport, ItemCatalog]:
    """Return the figures of all tasks, and the catalog that they built from.

    :raises FatalError: when the output holds two different lists of one person.
    """
    report, used = ListsReport(), []
    with work_folder() as folder:
        spool = ListSpool(context, run, folder)
        work = spool.work()
        staged = [
            work.check(spool.get_json(f"staged-{task}.json"), f"What task {task} staged")
            for task in range(work.tasks)
        ]
        for task in range(work.tasks):
            built = work.check(spool.get_json(f"built-{task}.json"), f"What task {task} built")
            report += _report(built["report"])
            used.append(np.load(spool.download(f"used-{task}.npy")))
        catalog = load_catalog(spool.download(CATALOG))
    report.files, report.notes = work.plan.files, work.notes
    report.items = int(np.count_nonzero(np.logical_or.reduce(used)))
    report.unreadable = built["unreadable"] + sum(each["unreadable"] for each in staged)
    if built["questions"]:
        report.questions, report.answered = built["questions"]
    check_conflicts(report)
    return report, catalog


def is_published(context: StageContext, run: str) -> bool:
    """True if the lists that the tasks built were published: the work is removed last of all, its own object first."""
    return (
        context.bucket.etag(context.keys.list_spool(run, WORK)) is None
        and context.bucket.etag(context.keys.recommendations_manifest(run)) is not None
    )


def remove_spool(context: StageContext, run: str) -> None:
    """Delete what the tasks shared, when the lists are published.

    ``work.json`` goes first. If the task is killed after that, its retry finds no work and deletes what is left.
    """
    bucket = context.bucket
    bucket.delete(context.keys.list_spool(run, WORK))
    bucket.delete_all(bucket.keys(context.keys.list_spool(run)))


def open_ranges(bucket: Bucket, ranges: Iterable[LineRange]) -> Generator[Source]:
    """Open ranges of objects one after another."""
    for each in ranges:
        stream = bucket.stream(each.key, max(0, each.start - 1))
        name = f"{bucket.uri(each.key)} from byte {each.start}" if each.start else bucket.uri(each.key)
        yield name, unpacked(each.key, stream if each.key.endswith(".gz") else LineStream(stream, each))


def _mapping(spool: ListSpool, job: str, work: ListWork, rows: Mapping[str, Pieces]) -> OutputMapping:
    if not work.outputs[job]:
        return by_user
    where = spool.context, spool.run, spool.folder, job
    if not work.is_by_user:
        return output_mapping_of(*where)
    return by_staged_lines(rows[output_rows(job)], asked_users(*where))


def _report(document: Mapping[str, Any]) -> ListsReport:
    report = ListsReport()
    for name, value in document.items():
        setattr(report, name, Counter(value) if isinstance(value, dict) else value)
    return report


@dataclass(frozen=True)
class _Joined:
    """Several tables of the same columns as one."""

    tables: list[Pieces]

    def read(self, part: int) -> pa.Table:
        return pa.concat_tables(each.read(part) for each in self.tables)
