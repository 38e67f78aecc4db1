"""Write the inputs of a recommend run's jobs, by the recipe's input type, and choose the output mapping.

A second job gets the questions that the first one did not answer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.errors import BudgetExceededError, FatalError
from recsync.program import names
from recsync.program.intervals import Interval
from recsync.program.recipes import MAX_RANKED_ITEMS, InputType
from recsync.recommend.filters import add_values
from recsync.recommend.list_inputs import open_objects, read_audience, read_catalog, sources
from recsync.recommend.lists import job_input
from recsync.recommend.lists.audience import check_unique
from recsync.recommend.lists.output_mapping import (
    OutputMapping,
    by_seed,
    by_some_users,
    by_user,
    for_everybody,
)
from recsync.recommend.lists.segments import by_segment, write_found_people
from recsync.recommend.unknown_ids import check_known_ids
from recsync.storage.duck import opened, work_folder
from recsync.warehouse.program_sql import read_named_query

log = logging.getLogger(__name__)

_DIGEST_BYTES = 16
_SEEDS, _SEGMENTS, _ASKED = "seeds", "segments", "asked"


def write_inputs(
    context: StageContext, run: str, moment: datetime, folder: Path, *, found_in: str | None = None
) -> tuple[int, str]:
    """Write and check the audience and the job's input, before anything is billed.

    :param found_in: S3 prefix of the output of the segment job that limits the audience.
    :returns: the number of people, and a checksum of the job's input.
    """
    audience, lines, input_type = (
        folder / "audience.parquet",
        folder / "lines.json",
        context.program.personalize.recipe_spec.input_type,
    )
    seeded = input_type is InputType.ITEM and not context.program.inputs.seeds
    pairs, chosen = folder / "pairs.parquet", context.program.filters.recommend
    values = folder / "values.parquet" if chosen and chosen.values else None
    people = read_audience(context, moment, audience, items=pairs if seeded else None, values=values)
    if not people:
        raise FatalError(
            f"{context.program.sql_file('audience')} returns nobody; an empty audience would remove every list. "
            "Check the query."
        )
    with opened(folder) as connection:
        check_unique(connection, audience, context.program.braze.identifier)
        if found_in:
            people = _keep_found(context, run, found_in, connection, audience, folder)
        _WRITERS[input_type](context, run, moment, connection, folder)
        if values:
            add_values(connection, lines, values, lists=input_type is InputType.RANKING)
    job_input.check_size(lines)
    check_known_ids(context, run, audience, read_catalog(context, moment, run))
    context.bucket.upload(context.keys.audience(run), audience)
    context.bucket.upload(context.keys.batch_input(run), lines)
    return people, _digest_of(lines)


def output_mapping_of(context: StageContext, run: str, folder: Path) -> OutputMapping:
    """Return how the job's output becomes people's lists."""
    input_type = context.program.personalize.recipe_spec.input_type
    if input_type is InputType.ITEM:
        return by_seed(_downloaded(context, run, _SEEDS, folder))
    if input_type in {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES}:
        return by_segment(_downloaded(context, run, _SEGMENTS, folder))
    if input_type is InputType.RANKING and context.bucket.etag(context.keys.run_part(run, _ASKED)):
        return by_some_users(_downloaded(context, run, _ASKED, folder))
    return for_everybody if input_type is InputType.NOTHING else by_user


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


def ask_again(program_name: str, plan: dict[str, Any], job_arn: str) -> dict[str, Any] | None:
    """Write the input of a second job for the questions without an answer.

    The job's name is derived from the first job and these questions, so that a retry adopts it.

    :param plan: of the first job.
    :param job_arn: the first job.
    :returns: arguments of the second job; None when it is not worth its price, or above the budget.
    """
    context, run = StageContext.of(program_name), plan["run"]
    uri = context.bucket.uri("")
    usage.record_usage(context, job_arn)
    keys = sources(context.bucket, plan["output"].removeprefix(uri))
    with work_folder() as folder:
        questions, lines = folder / "questions.json", folder / "lines.json"
        context.bucket.download(plan["input"].removeprefix(uri), questions)
        with opened(folder) as connection:
            outputs = open_objects(context.bucket, keys)
            found = job_input.write_unanswered(
                connection,
                questions,
                outputs,
                context.program.personalize.recipe_spec.input_type,
                lines,
                folder,
            )
        reason = found.reason_not_to_ask_again
        log.info("%d of %d questions have no answer", found.unanswered, found.asked)
        if reason:
            log.info("No second job: %s", reason)
            return None
        context.bucket.upload(context.keys.second_input(run), lines)
        job = names.job_name(program_name, "again", f"{plan['job']}{_digest_of(lines)}")
    again = {
        **plan,
        "job": job,
        "input": context.bucket.uri(context.keys.second_input(run)),
        "output": context.bucket.uri(context.keys.second_output(run)),
        "users": found.unanswered,
    }
    try:
        budget.check_budget(context, f"{run}-again", estimate.inference(context, again))
    except BudgetExceededError as error:
        log.warning("No second job, and the people without an answer keep their lists: %s", error)
        return None
    return again


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
    asked, found = _downloaded(context, run, "promotion", folder), folder / "found.parquet"
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


def _users(
    context: StageContext, run: str, moment: datetime, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    job_input.write_user_lines(connection, folder / "audience.parquet", folder / "lines.json")


def _nothing(
    context: StageContext, run: str, moment: datetime, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    """Write one question without a user: its answer is for everybody."""
    (folder / "lines.json").write_text("{}\n", encoding="utf-8")


def _candidates(
    context: StageContext, run: str, moment: datetime, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    pairs, audience = folder / "pairs.parquet", folder / "audience.parquet"
    name = context.program.inputs.candidates
    if name:
        _write_pairs(context, name, moment, pairs, shared=True)
    else:
        name = context.program.sql_file("catalogue")
        items = read_catalog(context, moment, run).item_ids
        if len(items) > MAX_RANKED_ITEMS:
            raise FatalError(
                f"{name} returns {len(items)} items; Amazon Personalize ranks at most {MAX_RANKED_ITEMS} for a person. "
                "Name a query for the lists to rank in inputs.candidates."
            )
        job_input.write_pairs([pa.RecordBatch.from_arrays([items], ["item_id"])], pairs, name=name)
    asked = folder / "asked.parquet"
    people = job_input.write_ranking_lines(
        connection, pairs, audience, folder / "lines.json", asked, name=name
    )
    context.bucket.upload(context.keys.run_part(run, _ASKED), asked)
    log.info("%s gives %d people a list to rank", name, people)


def _seeds(
    context: StageContext, run: str, moment: datetime, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    pairs, seeds = folder / "pairs.parquet", folder / "seeds.parquet"
    name = context.program.inputs.seeds
    if name:
        _write_pairs(context, name, moment, pairs)
    people = job_input.write_seeds(connection, pairs, folder / "audience.parquet", seeds)
    if not people:
        raise FatalError(
            f"{name or context.program.sql_file('audience')} returns no item for anybody of the audience; lists of "
            "related items are made from one."
        )
    log.info("%d people have items that their lists are made from", people)
    job_input.write_item_lines(connection, seeds, folder / "lines.json")
    context.bucket.upload(context.keys.run_part(run, _SEEDS), seeds)


def _segments(
    context: StageContext, run: str, moment: datetime, connection: duckdb.DuckDBPyConnection, folder: Path
) -> None:
    attributes = context.program.personalize.recipe_spec.input_type is InputType.SEGMENT_ATTRIBUTES
    name, segments = context.program.sql_file("segments"), folder / "segments.parquet"
    columns = ["attributes", "item_id"] if attributes else ["item_id"]
    rows = _rows(context, name, moment, columns)
    job_input.write_segments(rows, segments, attributes=attributes, name=name)
    job_input.write_segment_lines(connection, segments, folder / "lines.json", attributes=attributes)
    context.bucket.upload(context.keys.run_part(run, _SEGMENTS), segments)


_WRITERS: dict[InputType, Callable[[StageContext, str, datetime, duckdb.DuckDBPyConnection, Path], None]] = {
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
    with hook.read(query, columns, name=name, ids=columns) as rows:
        job_input.write_pairs(rows.batches, target, name=name)


def _rows(
    context: StageContext, name: str, moment: datetime, columns: list[str]
) -> list[tuple[str | None, ...]]:
    """Read all rows of a small query."""
    hook = context.warehouse()
    query = read_named_query(name, Interval.until(moment), hook)
    with hook.read(query, columns, name=name, ids=["item_id"]) as rows:
        return [
            row
            for batch in rows.batches
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]


def _downloaded(context: StageContext, run: str, part: str, folder: Path) -> Path:
    key, path = context.keys.run_part(run, part), folder / f"{part}.parquet"
    if context.bucket.etag(key) is None:
        raise FatalError(f"The {part} of run {run} are gone from S3; start a new run.")
    context.bucket.download(key, path)
    return path
