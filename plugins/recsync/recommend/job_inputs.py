"""Write the inputs of a recommend run's jobs, by the recipe's input type."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.experiments.assignment import OUTSIDE
from recsync.program.intervals import Interval
from recsync.program.recipes import MAX_RANKED_ITEMS, InputType
from recsync.recommend.arm_jobs import arms_of, give_arms
from recsync.recommend.filters import add_values
from recsync.recommend.job_parts import MAX_INPUT_LINES, WrittenPart, upload_parts
from recsync.recommend.list_inputs import open_objects, read_audience, read_catalog, sources
from recsync.recommend.lists import job_input
from recsync.recommend.lists.arms import CHAMPION
from recsync.recommend.lists.audience import check_unique
from recsync.recommend.lists.segments import write_found_people
from recsync.recommend.store import RecommendationsStore
from recsync.recommend.unknown_ids import check_known_ids
from recsync.storage import machine
from recsync.storage.duck import opened
from recsync.warehouse.program_sql import read_named_query

log = logging.getLogger(__name__)

_DIGEST_BYTES = 16
# Local disk for each byte of the audience's Parquet file, which DuckDB sorts uncompressed, and of the inputs, of which
# a part is copied for its upload. Measured at 6 million people: 236 MB where this comes to 360 MB.
_AUDIENCE_COPIES, _INPUT_COPIES = 10, 2
SEEDS, SEGMENTS, ASKED = "seeds", "segments", "asked"
"""Parts of an input that are needed to read the output."""


@dataclass(frozen=True)
class WrittenInputs:
    """The audience and the inputs of a run's jobs.

    :param people: number of people in the audience.
    :param parts: the input of the champion's job, and of the job of each arm with another model; in several parts
        when one job cannot take the whole of it. Jobs without people are missing.
    :param arms: people by arm; None without an experiment.
    """

    people: int
    parts: dict[str, list[WrittenPart]]
    arms: dict[str, int] | None = None


@dataclass(frozen=True)
class _Job:
    """The input of one job while it is written.

    :param folder: has ``audience.parquet``, the job's people; gets ``lines.json``.
    :param name: of the arm; empty for the champion's job.
    """

    context: StageContext
    run: str
    moment: datetime
    folder: Path
    name: str = CHAMPION

    @property
    def audience(self) -> Path:
        return self.folder / "audience.parquet"

    @property
    def lines(self) -> Path:
        return self.folder / "lines.json"

    @property
    def pairs(self) -> Path:
        return self.folder / "pairs.parquet"

    def keep(self, part: str, path: Path) -> None:
        """Store a part of the input that is needed to read the output."""
        self.context.bucket.upload(self.context.keys.run_part(self.run, part_name(part, self.name)), path)


def input_run(run: str, job: str) -> str:
    """Return the name of the folder of a job's input and output."""
    return f"{run}-{job}" if job else run


def part_name(part: str, job: str) -> str:
    return f"{part}-{job}" if job else part


def write_inputs(
    context: StageContext, run: str, moment: datetime, folder: Path, *, found_in: str | None = None
) -> WrittenInputs:
    """Write and check the audience and the inputs of the jobs, before anything is billed.

    :param found_in: S3 prefix of the output of the segment job that limits the audience.
    """
    whole, input_type = _Job(context, run, moment, folder), context.program.personalize.recipe_spec.input_type
    seeded = input_type is InputType.ITEM and not context.program.inputs.seeds
    chosen, experiment = context.program.filters.recommend, context.program.experiment
    values = folder / "values.parquet" if chosen and chosen.values else None
    strata = folder / "strata.parquet" if experiment and experiment.stratify_by else None
    _check_disk(context, folder)
    people = read_audience(
        context, moment, whole.audience, items=whole.pairs if seeded else None, values=values, strata=strata
    )
    if not people:
        raise FatalError(
            f"{context.program.sql_file('audience')} returns nobody; an empty audience would remove every list. "
            "Check the query."
        )
    with opened(folder) as connection:
        check_unique(connection, whole.audience, context.program.braze.identifier)
        if found_in:
            people = _keep_found(context, run, found_in, connection, whole.audience, folder)
    arms = give_arms(context, run, moment, whole.audience, folder, strata)
    jobs = [whole] if arms is None else _jobs_of_arms(whole, arms)
    for job in jobs:
        with opened(job.folder) as connection:
            _WRITERS[input_type](job, connection)
            if values:
                add_values(connection, job.lines, values, lists=input_type is InputType.RANKING)
    check_known_ids(context, run, whole.audience, read_catalog(context, moment, run))
    context.bucket.upload(context.keys.audience(run), whole.audience)
    parts = {
        job.name: upload_input(
            context, partial(context.keys.batch_input, input_run(run, job.name)), job.lines
        )
        for job in jobs
    }
    return WrittenInputs(people, parts, arms)


def _check_disk(context: StageContext, folder: Path) -> None:
    """Check the local disk for an audience and inputs as large as those of the newest run.

    The first run has none before it: ``read_audience`` checks the disk for what it has read.

    :raises RetriableError: when the disk has no room for them.
    """
    run = context.store(RecommendationsStore).latest_run(by_hand=False)
    if run is None:
        return
    of_run = context.bucket.listed(context.keys.batch(run))
    inputs = sum(entry["Size"] for entry in of_run if "/input/" in entry["Key"])
    audience = context.bucket.size_bytes(context.keys.audience(run)) or 0
    needed = _AUDIENCE_COPIES * audience + _INPUT_COPIES * inputs
    machine.check_disk(folder, needed, f"Preparing as many people as run {run} had")


def upload_input(context: StageContext, key_of: Callable[[str], str], lines: Path) -> list[WrittenPart]:
    """Write the input of a job to S3; a campaign or a segment job takes the whole of it."""
    is_batch = context.program.personalize.recipe_spec.inference_mode == "batch"
    most = settings.job_input_bytes() if is_batch else sys.maxsize
    return upload_parts(
        context.bucket, lines, key_of, max_bytes=most, max_lines=MAX_INPUT_LINES if is_batch else sys.maxsize
    )


def _jobs_of_arms(whole: _Job, people: Mapping[str, int]) -> list[_Job]:
    """Split the audience by job; jobs without people are left out."""
    arms, jobs = arms_of(whole.context.program), []
    if arms is None:
        return [whole]
    asked: dict[str, list[str]] = {}
    for arm in (OUTSIDE, *people):
        if (of_arm := arms.job_of(arm)) is not None:
            asked.setdefault(of_arm, []).append(arm)
    for number, (name, wanted) in enumerate(asked.items()):
        job = replace(whole, folder=whole.folder / f"job-{number}", name=name)
        job.folder.mkdir(exist_ok=True)
        if not _write_people(whole.audience, wanted, job.audience):
            continue
        if whole.pairs.exists():
            job.pairs.unlink(missing_ok=True)
            job.pairs.hardlink_to(whole.pairs)
        jobs.append(job)
    return jobs


def _write_people(audience: Path, arms: Sequence[str], target: Path) -> int:
    """Write the people of some arms, and return their number."""
    with opened(target.parent) as connection:
        named = ", ".join(f"'{arm}'" for arm in arms)
        people = connection.read_parquet(str(audience)).filter(f"coalesce(arm, '{OUTSIDE}') IN ({named})")
        people.write_parquet(str(target), compression="zstd")
    return int(pq.read_metadata(target).num_rows)


def write_segment_of_audience(context: StageContext, run: str, moment: datetime, folder: Path) -> str:
    """Write the input of the segment job that limits the audience.

    :returns: a checksum of it.
    """
    segment = context.program.audience.segment
    if segment is None:
        raise FatalError(f"Program {context.program.name} has no audience.segment any more; start a new run.")
    items = (
        [(item,) for item in segment.items]
        if segment.items
        else _rows(context, str(segment.sql), moment, ["item_id"])
    )
    lines, segments = folder / "segment.json", folder / "segment.parquet"
    job_input.write_segments(items, segments, attributes=False, name=segment.sql or "audience.segment.items")
    with opened(folder) as connection:
        job_input.write_segment_lines(connection, segments, lines, attributes=False)
    context.bucket.upload(context.keys.run_part(run, "promotion"), segments)
    context.bucket.upload(context.keys.segment_input(run), lines)
    return _digest_of(lines)


def _digest_of(path: Path) -> str:
    """Return a checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def _keep_found(
    context: StageContext,
    run: str,
    found_in: str,
    connection: duckdb.DuckDBPyConnection,
    audience: Path,
    folder: Path,
) -> int:
    """Limit the audience to the people found by the segment job."""
    asked, found = downloaded_part(context, run, "promotion", folder), folder / "found.parquet"
    queries = pc.unique(pq.read_table(asked)["query"])
    queried = write_found_people(
        open_objects(context.bucket, sources(context.bucket, found_in)), queries, found
    )
    before = pq.read_metadata(audience).num_rows
    people = job_input.keep_found(connection, audience, found)
    log.info("%d of the %d people of the audience were found for %d items", people, before, queried)
    if not people:
        raise FatalError(
            "None of the people that the segment job found may be mailed: audience.sql returns none of them. Raise "
            "audience.segment.users_per_item, or choose other items."
        )
    return people


def _users(job: _Job, connection: duckdb.DuckDBPyConnection) -> None:
    job_input.write_user_lines(connection, job.audience, job.lines)


def _nothing(job: _Job, connection: duckdb.DuckDBPyConnection) -> None:
    """Write one question without a user: its answer is for everybody."""
    job.lines.write_text("{}\n", encoding="utf-8")


def _candidates(job: _Job, connection: duckdb.DuckDBPyConnection) -> None:
    context, name = job.context, job.context.program.inputs.candidates
    if name:
        _write_pairs(context, name, job.moment, job.pairs, shared=True)
    else:
        name = context.program.sql_file("catalogue")
        items = read_catalog(context, job.moment, job.run).item_ids
        if len(items) > MAX_RANKED_ITEMS:
            raise FatalError(
                f"{name} returns {len(items)} items; Amazon Personalize ranks at most {MAX_RANKED_ITEMS} for a person. "
                "Name a query for the lists to rank in inputs.candidates."
            )
        job_input.write_pairs([pa.RecordBatch.from_arrays([items], ["item_id"])], job.pairs, name=name)
    asked = job.folder / "asked.parquet"
    people = job_input.write_ranking_lines(connection, job.pairs, job.audience, job.lines, asked, name=name)
    job.keep(ASKED, asked)
    log.info("%s gives %d people a list to rank", name, people)


def _seeds(job: _Job, connection: duckdb.DuckDBPyConnection) -> None:
    context, seeds, name = job.context, job.folder / "seeds.parquet", job.context.program.inputs.seeds
    if name:
        _write_pairs(context, name, job.moment, job.pairs)
    people = job_input.write_seeds(connection, job.pairs, job.audience, seeds)
    if not people:
        of_arm = f" of arm {job.name}" if job.name else ""
        raise FatalError(
            f"{name or context.program.sql_file('audience')} returns no item for anybody of the audience{of_arm}; "
            "lists of related items are made from one."
        )
    log.info("%d people have items that their lists are made from", people)
    job_input.write_item_lines(connection, seeds, job.lines)
    job.keep(SEEDS, seeds)


def _segments(job: _Job, connection: duckdb.DuckDBPyConnection) -> None:
    context = job.context
    attributes = context.program.personalize.recipe_spec.input_type is InputType.SEGMENT_ATTRIBUTES
    name, segments = context.program.sql_file("segments"), job.folder / "segments.parquet"
    columns = ["attributes", "item_id"] if attributes else ["item_id"]
    rows = _rows(context, name, job.moment, columns)
    job_input.write_segments(rows, segments, attributes=attributes, name=name)
    job_input.write_segment_lines(connection, segments, job.lines, attributes=attributes)
    job.keep(SEGMENTS, segments)


_WRITERS: dict[InputType, Callable[[_Job, duckdb.DuckDBPyConnection], None]] = {
    InputType.USER: _users,
    InputType.ACTIONS: _users,
    InputType.NOTHING: _nothing,
    InputType.RANKING: _candidates,
    InputType.ITEM: _seeds,
    InputType.SEGMENT_ITEM: _segments,
    InputType.SEGMENT_ATTRIBUTES: _segments,
}


def _write_pairs(
    context: StageContext, name: str, moment: datetime, target: Path, *, shared: bool = False
) -> None:
    """Write users and items as a query returns them.

    :param shared: without a column ``user_id`` the items are for everybody.
    """
    hook = context.warehouse()
    query = read_named_query(name, Interval.until(moment), hook)
    returned = {column.name.casefold() for column in hook.columns(query, name=name)}
    columns = ["item_id"] if shared and "user_id" not in returned else ["user_id", "item_id"]
    with hook.read(query, columns, name=name, ids=columns, in_order=True) as rows:
        job_input.write_pairs(rows.batches, target, name=name)


def _rows(
    context: StageContext, name: str, moment: datetime, columns: list[str]
) -> list[tuple[str | None, ...]]:
    """Read all rows of a small query."""
    hook = context.warehouse()
    query = read_named_query(name, Interval.until(moment), hook)
    with hook.read(query, columns, name=name, ids=["item_id"], in_order=True) as rows:
        return [
            row
            for batch in rows.batches
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]


def downloaded_part(context: StageContext, run: str, part: str, folder: Path) -> Path:
    key, path = context.keys.run_part(run, part), folder / f"{part}.parquet"
    if context.bucket.etag(key) is None:
        raise FatalError(f"The {part} of run {run} are gone from S3; start a new run.")
    context.bucket.download(key, path)
    return path
