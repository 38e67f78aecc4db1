"""The input of a job: JSON lines about users, lists to rank, items or segments, written by DuckDB in bounded memory.

https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.program.recipes import MAX_RANKED_ITEMS, MAX_SEGMENT_EXPRESSIONS, MAX_SEGMENT_ITEMS
from recsync.recommend.lists.segments import SEGMENTS
from recsync.storage.local_disk import quoted_path

PAIRS = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("place", pa.int64())])
"""What a query returns about users and items, in its order; ``user_id`` is empty where an item is for everybody."""

# "Maximum total size of all input files": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_INPUT_BYTES = 1_000_000_000
# Somebody's list needs no more seeds than the last few things; the rest would only make it longer to merge.
MAX_SEEDS = 20
# Rows whose lists are gathered at a time: lists are what DuckDB cannot spill.
_ROWS_PER_PART = 1_000_000


def write_pairs(batches: Iterable[pa.RecordBatch], target: Path, *, name: str) -> int:
    """Write the rows of a query in their order (``PAIRS``).

    :param batches: texts: ``item_id``, and ``user_id`` where the query returns it.
    :param name: the SQL file, for errors.
    :returns: how many there are.
    :raises FatalError: when a row lacks one of them.
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
    """Ask about each user of the audience once, sorted."""
    connection.read_parquet(str(audience)).project('user_id AS "userId"').distinct().order("ALL").create_view(
        "users"
    )
    connection.execute(f"COPY users TO {quoted_path(target)} (FORMAT json)")


def write_seeds(connection: duckdb.DuckDBPyConnection, pairs: Path, audience: Path, target: Path) -> int:
    """Write the seeds of the audience (``joins.SEEDS``), sorted: at most ``MAX_SEEDS`` of a user, in the query's order.

    :returns: how many users of the audience have seeds.
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
    """Ask about each seed once, sorted."""
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
    """Ask for each user's candidates, each once and in the query's order, to be ranked; users sorted within parts.

    :param candidates: ``PAIRS``; one list for everybody where users are empty.
    :param asked: where to write who is asked about (``joins.ASKED``).
    :param name: the SQL file, for errors.
    :returns: how many users of the audience have candidates.
    :raises FatalError: when there are none at all, or too many for somebody.
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
    """Write what a batch segment job asks for (``SEGMENTS``), in the query's order; small by the service's limits.

    :param rows: ``item_id``, or with ``attributes`` the expression and an item that those found for it get.
    :raises FatalError: when there is nothing, or more than one job takes.
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
    """Ask for each item or expression once, in the query's order."""
    key = "itemAttributes" if attributes else "itemId"
    connection.execute(
        f'COPY (SELECT query AS "{key}" FROM read_parquet({quoted_path(segments)}) '
        f"GROUP BY query ORDER BY min(place)) TO {quoted_path(target)} (FORMAT json)"
    )


def keep_found(connection: duckdb.DuckDBPyConnection, audience: Path, found: Path) -> int:
    """Leave only people of the audience who were found.

    :returns: how many there are.
    """
    whole = audience.with_suffix(".whole")
    audience.rename(whole)
    people = connection.read_parquet(str(whole)).join(
        connection.read_parquet(str(found)).distinct(), "user_id", how="semi"
    )
    people.order("ALL").write_parquet(str(audience), compression="zstd")
    whole.unlink()
    return int(pq.read_metadata(audience).num_rows)


def check_size(path: Path) -> None:
    """Refuse an input that is too large for one job.

    :raises FatalError: naming its size.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_INPUT_BYTES:
        raise FatalError(
            f"The job's input has {size_bytes / 10**9:.1f} GB; Amazon Personalize takes {MAX_INPUT_BYTES // 10**9} GB. "
            "Ask about fewer people in one program, or rank shorter lists."
        )


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
