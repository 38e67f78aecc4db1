"""The lines of a recommend run's job, by what the program's recipe asks about, and how its answers become lists."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.program.recipes import MAX_RANKED_ITEMS, Asks
from recsync.recommend.filter_values import add_values
from recsync.recommend.known_ids import check_known_ids
from recsync.recommend.list_inputs import open_objects, read_audience, read_catalogue, sources
from recsync.recommend.lists import job_input
from recsync.recommend.lists.audience import check_unique
from recsync.recommend.lists.output_mapping import Join, by_seed, by_some_users, by_user, for_everybody
from recsync.recommend.lists.segments import by_segment, write_found_people
from recsync.storage.duck import opened
from recsync.warehouse.program_sql import read_named_query

log = logging.getLogger(__name__)

_DIGEST_BYTES = 16
_SEEDS, _SEGMENTS, _ASKED = "seeds", "segments", "asked"


def write_inputs(
    context: StageContext, run: str, moment: datetime, folder: Path, *, found_in: str | None = None
) -> tuple[int, str]:
    """Write the audience and the job's input; before anything is paid for, so what is wrong with them stops here.

    :param found_in: S3 prefix of the output of the segment job that limits the audience.
    :returns: how many people there are, and a digest of the job's input.
    """
    audience, lines, asks = (
        folder / "audience.parquet",
        folder / "lines.json",
        context.program.personalize.traits.asks,
    )
    seeded = asks is Asks.ITEM and not context.program.inputs.seeds
    pairs, chosen = folder / "pairs.parquet", context.program.filters.recommend
    values = folder / "values.parquet" if chosen and chosen.values else None
    people = read_audience(context, moment, audience, items=pairs if seeded else None, values=values)
    if not people:
        raise FatalError(
            f"{context.program.sql_file('audience')} returns nobody; an empty audience would remove every list. "
            "Check the query."
        )
    with opened(folder) as connection:
        check_unique(connection, audience)
        if found_in:
            people = _keep_found(context, run, found_in, connection, audience, folder)
        _WRITERS[asks](context, run, moment, connection, folder)
        if values:
            add_values(connection, lines, values, lists=asks is Asks.RANKING)
    job_input.check_size(lines)
    check_known_ids(context, run, audience, read_catalogue(context, moment, run))
    context.bucket.upload(context.keys.audience(run), audience)
    context.bucket.upload(context.keys.batch_input(run), lines)
    return people, digest_of(lines)


def digest_of(path: Path) -> str:
    """Sum up a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def join_of(context: StageContext, run: str, folder: Path) -> Join:
    """Say how the job's answers become people's lists."""
    asks = context.program.personalize.traits.asks
    if asks is Asks.ITEM:
        return by_seed(_downloaded(context, run, _SEEDS, folder))
    if asks in {Asks.SEGMENT_ITEM, Asks.SEGMENT_ATTRIBUTES}:
        return by_segment(_downloaded(context, run, _SEGMENTS, folder))
    if asks is Asks.RANKING and context.bucket.etag(context.keys.run_part(run, _ASKED)):
        return by_some_users(_downloaded(context, run, _ASKED, folder))
    return for_everybody if asks is Asks.NOTHING else by_user


def write_segment_of_audience(context: StageContext, run: str, moment: datetime, folder: Path) -> str:
    """Write the input of the segment job that says who gets lists.

    :returns: a digest of it.
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
    return digest_of(lines)


def _keep_found(
    context: StageContext,
    run: str,
    found_in: str,
    connection: duckdb.DuckDBPyConnection,
    audience: Path,
    folder: Path,
) -> int:
    """Leave only those of the audience whom the segment job found."""
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
    """Ask once, about nobody: the answer is everybody's."""
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
        items = read_catalogue(context, moment, run).item_ids
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
    attributes = context.program.personalize.traits.asks is Asks.SEGMENT_ATTRIBUTES
    name, segments = context.program.sql_file("segments"), folder / "segments.parquet"
    columns = ["attributes", "item_id"] if attributes else ["item_id"]
    rows = _rows(context, name, moment, columns)
    job_input.write_segments(rows, segments, attributes=attributes, name=name)
    job_input.write_segment_lines(connection, segments, folder / "lines.json", attributes=attributes)
    context.bucket.upload(context.keys.run_part(run, _SEGMENTS), segments)


_WRITERS: dict[Asks, Callable[[StageContext, str, datetime, duckdb.DuckDBPyConnection, Path], None]] = {
    Asks.USER: _users,
    Asks.ACTIONS: _users,
    Asks.NOTHING: _nothing,
    Asks.RANKING: _candidates,
    Asks.ITEM: _seeds,
    Asks.SEGMENT_ITEM: _segments,
    Asks.SEGMENT_ATTRIBUTES: _segments,
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
    """Read a small query."""
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
