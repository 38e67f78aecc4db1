"""Write the input of a job with DuckDB in bounded memory: JSON lines of users, lists to rank, items or segments.

A second job gets the lines that the output of the first one does not answer.

https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.program.recipes import (
    MAX_RANKED_ITEMS,
    MAX_SEGMENT_EXPRESSIONS,
    MAX_SEGMENT_ITEMS,
    InputType,
)
from recsync.recommend.lists.batch_output import ITEM, USER, cut_blocks, read_block
from recsync.recommend.lists.output_staging import Source
from recsync.recommend.lists.segments import SEGMENTS, answered_queries
from recsync.storage.duck import quoted_path

PAIRS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("place", pa.int64())])
"""Users and items of a query, in its order; ``user_id`` is empty where an item is for all users."""

# Seeds per user: more only make the lists longer to merge.
MAX_SEEDS = 20
# Rows aggregated into lists at a time: DuckDB cannot spill lists.
_ROWS_PER_PART = 1_000_000
_KEYS = pa.schema([("key", pa.string())])
# Each question has exactly one of these members; a ranking has userId.
_KEY = "coalesce(json->>'$.userId', json->>'$.itemId', json->>'$.itemAttributes')"
_ROWS_AT_ONCE = 50_000


def write_pairs(batches: Iterable[pa.RecordBatch], target: Path, *, name: str) -> int:
    """Write the rows of a query in their order (``PAIRS``).

    :param batches: texts: ``item_id``, and ``user_id`` where the query returns it.
    :param name: the SQL file, for errors.
    :returns: the number of rows.
    :raises FatalError: for a row without one of them.
    """
    written = 0
    with pq.ParquetWriter(target, PAIRS, compression="zstd") as writer:
        for batch in batches:
            if any(ids.null_count or pc.any(pc.equal(ids, "")).as_py() for ids in batch.columns):
                columns = " or ".join(batch.schema.names)
                raise FatalError(f"{name} returns a row without {columns}; leave such rows out.")
            rows = batch.num_rows
            users = batch["user_id"] if "user_id" in batch.schema.names else pa.array([""] * rows)
            places = pa.array(range(written, written + rows))
            writer.write_batch(pa.RecordBatch.from_arrays([users, batch["item_id"], places], schema=PAIRS))
            written += rows
    return written


def write_user_lines(connection: duckdb.DuckDBPyConnection, audience: Path, target: Path) -> None:
    """Write one line per user of the audience, sorted."""
    connection.read_parquet(str(audience)).project('user_id AS "userId"').distinct().order("ALL").create_view(
        "users"
    )
    connection.execute(f"COPY users TO {quoted_path(target)} (FORMAT json)")


def write_seeds(connection: duckdb.DuckDBPyConnection, pairs: Path, audience: Path, target: Path) -> int:
    """Write at most ``MAX_SEEDS`` seeds per user of the audience (``output_mapping.SEEDS``), in the query's order.

    :returns: the number of users with seeds.
    """
    connection.execute(
        f"""
        COPY (
            SELECT user_id, item_id, (row_number() OVER users - 1)::INT AS place FROM (
                SELECT user_id, item_id, min(place) AS place FROM read_parquet({quoted_path(pairs)})
                WHERE user_id IN (SELECT user_id FROM read_parquet({quoted_path(audience)}))
                GROUP BY user_id, item_id
            )
            WINDOW users AS (PARTITION BY user_id ORDER BY place)
            QUALIFY row_number() OVER users <= {MAX_SEEDS}
            ORDER BY user_id, place
        ) TO {quoted_path(target)} (FORMAT parquet, COMPRESSION zstd)
        """
    )
    return _count(connection, f"SELECT count(DISTINCT user_id) FROM read_parquet({quoted_path(target)})")


def write_item_lines(connection: duckdb.DuckDBPyConnection, seeds: Path, target: Path) -> None:
    """Write one line per seed item, sorted."""
    connection.execute(
        f'COPY (SELECT DISTINCT item_id AS "itemId" FROM read_parquet({quoted_path(seeds)}) ORDER BY ALL) '
        f"TO {quoted_path(target)} (FORMAT json)"
    )


def write_ranking_lines(
    connection: duckdb.DuckDBPyConnection,
    candidates: Path,
    audience: Path,
    target: Path,
    asked: Path,
    *,
    name: str,
) -> int:
    """Write one line per user with the candidates to rank, in the query's order; users are sorted within parts.

    :param candidates: ``PAIRS``; one list for all users where users are empty.
    :param asked: where to write the users of the lines (``output_mapping.ASKED``).
    :param name: the SQL file, for errors.
    :returns: the number of users with candidates.
    :raises FatalError: when there are no candidates, or too many for a user.
    """
    source, people = f"read_parquet({quoted_path(candidates)})", f"read_parquet({quoted_path(audience)})"
    connection.execute(
        f"""
        CREATE TEMP VIEW candidates AS
        SELECT user_id, item_id, min(place) AS place FROM {source}
        WHERE user_id = '' OR user_id IN (SELECT user_id FROM {people})
        GROUP BY user_id, item_id
        """
    )
    most = _count(connection, "SELECT max(n) FROM (SELECT count(*) AS n FROM candidates GROUP BY user_id)")
    if most > MAX_RANKED_ITEMS:
        raise FatalError(
            f"{name} returns {most} items for one list; Amazon Personalize ranks at most {MAX_RANKED_ITEMS}. "
            "Return fewer, for instance the best sellers among them."
        )
    if not most:
        raise FatalError(
            f"{name} returns no candidate for anybody of the audience; there is nothing to rank."
        )
    shared = _count(connection, "SELECT count(*) FROM candidates WHERE user_id = ''") > 0
    connection.execute(
        f"COPY (SELECT DISTINCT user_id FROM {people if shared else 'candidates'} ORDER BY user_id) "
        f"TO {quoted_path(asked)} (FORMAT parquet, COMPRESSION zstd)"
    )
    users = int(pq.read_metadata(asked).num_rows)
    if shared:
        connection.execute(
            f"""
            COPY (
                SELECT user_id AS "userId", (SELECT list(item_id ORDER BY place) FROM candidates) AS "itemList"
                FROM read_parquet({quoted_path(asked)}) ORDER BY user_id
            ) TO {quoted_path(target)} (FORMAT json)
            """
        )
        return users
    parts = 1 + _count(connection, "SELECT count(*) FROM candidates") // _ROWS_PER_PART
    with target.open("wb") as whole:
        for part in range(parts):
            piece = target.with_suffix(".part")
            connection.execute(
                f"""
                COPY (
                    SELECT user_id AS "userId", list(item_id ORDER BY place) AS "itemList" FROM candidates
                    WHERE hash(user_id) % {parts} = {part} GROUP BY user_id ORDER BY user_id
                ) TO {quoted_path(piece)} (FORMAT json)
                """
            )
            with piece.open("rb") as file:
                shutil.copyfileobj(file, whole)
            piece.unlink()
    return users


def write_segments(
    rows: Iterable[tuple[str | None, ...]], target: Path, *, attributes: bool, name: str
) -> pa.Table:
    """Write the queries of a batch segment job (``SEGMENTS``), in the query's order; few, by the service's limits.

    :param rows: ``item_id``, or with ``attributes`` the expression and an item that those found for it get.
    :raises FatalError: when there are none, or more than one job takes.
    """
    pairs = list(dict.fromkeys((row[0], row[-1]) for row in rows if None not in row and "" not in row))
    queries = {query for query, _ in pairs}
    most = MAX_SEGMENT_EXPRESSIONS if attributes else MAX_SEGMENT_ITEMS
    if not 0 < len(queries) <= most:
        what = "attribute expressions" if attributes else "items"
        raise FatalError(f"{name} returns {len(queries)} {what}; a batch segment job takes 1 to {most}.")
    columns = [[query for query, _ in pairs], [item for _, item in pairs], list(range(len(pairs)))]
    table = pa.table(dict(zip(SEGMENTS.names, columns, strict=True)), schema=SEGMENTS)
    pq.write_table(table, target)
    return table


def write_segment_lines(
    connection: duckdb.DuckDBPyConnection, segments: Path, target: Path, *, attributes: bool
) -> None:
    """Write one line per item or expression, in the query's order."""
    key = "itemAttributes" if attributes else "itemId"
    connection.execute(
        f'COPY (SELECT query AS "{key}" FROM read_parquet({quoted_path(segments)}) '
        f"GROUP BY query ORDER BY min(place)) TO {quoted_path(target)} (FORMAT json)"
    )


def keep_found(connection: duckdb.DuckDBPyConnection, audience: Path, found: Path) -> int:
    """Keep only the people of the audience who were found.

    :returns: their number.
    """
    whole = audience.with_suffix(".whole")
    audience.rename(whole)
    people = connection.read_parquet(str(whole)).join(
        connection.read_parquet(str(found)).distinct(), "user_id", how="semi"
    )
    people.order("ALL").write_parquet(str(audience), compression="zstd")
    whole.unlink()
    return int(pq.read_metadata(audience).num_rows)


@dataclass(frozen=True)
class Questions:
    """The number of questions of a job, and how many its output does not answer."""

    asked: int
    unanswered: int

    @property
    def reason_not_to_ask_again(self) -> str:
        """Return why a second job is not worth its price; empty when it is."""
        return next((reason for applies, reason in _REASONS if applies(self)), "")


_REASONS: tuple[tuple[Callable[[Questions], bool], str], ...] = (
    (lambda q: q.unanswered == 0, "every question has an answer"),
    (lambda q: q.unanswered < 1_000 and q.unanswered < q.asked / 100, "fewer than 1,000 and fewer than 1 %"),
    (
        lambda q: q.unanswered > q.asked / 2,
        "more than half: the fault is the job's, not that of single lines",
    ),
)


def write_unanswered(
    connection: duckdb.DuckDBPyConnection,
    questions: Sequence[Path],
    outputs: Iterable[Source],
    input_type: InputType,
    target: Path,
    work: Path,
) -> Questions:
    """Write the lines of the jobs' inputs that their outputs do not answer, sorted.

    :param questions: the inputs of the jobs.
    :param work: an existing folder.
    """
    answered = work / "answered.parquet"
    with pq.ParquetWriter(answered, _KEYS, compression="zstd") as writer:
        for keys in _answered(outputs, input_type):
            writer.write_batch(pa.RecordBatch.from_arrays([keys], schema=_KEYS))
    connection.execute(
        f"CREATE TEMP TABLE questions AS SELECT json, {_KEY} AS key "
        f"FROM read_ndjson_objects([{', '.join(map(quoted_path, questions))}])"
    )
    connection.execute(
        "CREATE TEMP TABLE unanswered AS SELECT json, key FROM questions "
        f"ANTI JOIN read_parquet({quoted_path(answered)}) USING (key)"
    )
    counts = connection.execute("SELECT (SELECT count(*) FROM questions), (SELECT count(*) FROM unanswered)")
    asked, unanswered = counts.fetchall()[0]
    rows = connection.sql("SELECT json::VARCHAR AS json FROM unanswered ORDER BY key")
    with target.open("wb") as file:
        for batch in rows.to_arrow_reader(_ROWS_AT_ONCE):
            file.writelines(f"{line}\n".encode() for line in batch.column(0).to_pylist())
    return Questions(asked, unanswered)


def _answered(outputs: Iterable[Source], input_type: InputType) -> Iterator[pa.Array]:
    if input_type in {InputType.SEGMENT_ITEM, InputType.SEGMENT_ATTRIBUTES}:
        yield pa.array(list(answered_queries(outputs)), pa.string())
        return
    for _name, stream in outputs:
        for block in cut_blocks(stream):
            lines = read_block(block, ITEM if input_type is InputType.ITEM else USER).columns
            yield lines["user_id"].filter(pc.is_null(lines["error"]))


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
