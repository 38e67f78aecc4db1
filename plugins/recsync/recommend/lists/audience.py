"""The people who may be mailed, as a local file: written in bounded memory, each Braze user once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError

AUDIENCE = pa.schema(
    [
        ("user_id", pa.string()),
        ("external_id", pa.string()),
        ("priority", pa.float64()),
        ("segment", pa.string()),
    ]
)
OPTIONAL = ("external_id", "priority", "segment")
"""Columns that ``audience.sql`` may leave out."""
SEEDED = AUDIENCE.append(pa.field("item_id", pa.string()))
"""An audience as read, with the items that lists are made from: one row per person and item."""

# 8 bytes each.
_HASHES_AT_ONCE = 5_000_000


def write_audience(batches: Iterable[pa.RecordBatch], target: Path, *, name: str) -> None:
    """Write the rows of ``audience.sql`` (``SEEDED``).

    :param batches: texts: ``user_id``, some of ``OPTIONAL``, and perhaps ``item_id``.
    :param name: the SQL file, for errors.
    :raises FatalError: when a row has no id, or a priority that is not a number.
    """
    with pq.ParquetWriter(target, SEEDED, compression="zstd") as writer:
        for batch in batches:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns.setdefault("external_id", columns["user_id"])
            for ids in (columns["user_id"], columns["external_id"]):
                if ids.null_count or pc.any(pc.equal(ids, "")).as_py():
                    raise FatalError(
                        f"{name} returns a person without user_id or external_id; leave such rows out."
                    )
            if "priority" in columns:
                columns["priority"] = _numbers(columns["priority"], name)
            arrays = [
                columns.get(field.name, pa.nulls(batch.num_rows, field.type)).cast(field.type)
                for field in SEEDED
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SEEDED))


def _numbers(texts: pa.Array, name: str) -> pa.Array:
    try:
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts).cast(pa.float64())
    except pa.ArrowInvalid:
        raise FatalError(
            f"{name} returns a priority that is not a number; higher numbers go first."
        ) from None


def sort_audience(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> int:
    """Sort an audience by user and leave out rows that repeat another, so that equal people give equal files.

    :returns: how many people there are.
    """
    columns = ", ".join(AUDIENCE.names)
    people = connection.read_parquet(str(source)).project(columns).distinct().order("ALL")
    people.write_parquet(str(target), compression="zstd")
    return int(pq.read_metadata(target).num_rows)


def write_audience_items(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> None:
    """Write the items of each person with their places in the query's result (``job_input.PAIRS``).

    :param source: ``SEEDED``.
    """
    pairs = connection.read_parquet(str(source), file_row_number=True).filter("item_id <> ''")
    pairs.project("user_id, item_id, file_row_number AS place").write_parquet(str(target), compression="zstd")


def check_unique(connection: duckdb.DuckDBPyConnection, audience: Path) -> None:
    """Refuse an audience that holds a Braze user twice.

    :raises FatalError: with the number of users that are there more than once.
    """
    people = connection.read_parquet(str(audience)).project("external_id, hash(external_id) AS digest")
    passes = 1 + pq.read_metadata(audience).num_rows // _HASHES_AT_ONCE
    repeated = 0
    for number in range(passes):
        # Equal hashes are rare enough to look at closely; sorting numbers is far cheaper than grouping texts.
        share = people.filter(f"(digest >> 8) % {passes} = {number}")
        hashes = np.sort(share.project("digest").fetchnumpy()["digest"])
        suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if len(suspects):
            repeated += _repeated(connection, share, suspects)
    if repeated:
        raise FatalError(
            f"audience.sql returns {repeated} Braze user(s) more than once; two writes for one user would race. Make "
            "external_id unique. To find them: SELECT external_id FROM (…) GROUP BY 1 HAVING count(*) > 1."
        )


def _repeated(
    connection: duckdb.DuckDBPyConnection, people: duckdb.DuckDBPyRelation, suspects: NDArray[np.uint64]
) -> int:
    looked_at = connection.from_arrow(pa.table({"digest": pa.array(suspects)}))
    counted = people.join(looked_at, "digest").aggregate("external_id, count(*) AS times", "external_id")
    return len(counted.filter("times > 1"))
