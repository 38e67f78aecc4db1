"""Write the audience to a local file, with the people's identifiers in the form in which Braze keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.identifiers import EXTERNAL_ID, Identifier
from recsync.errors import FatalError

AUDIENCE = pa.schema(
    [
        ("user_id", pa.string()),
        # In Braze, by the identifier of the program file.
        ("external_id", pa.string()),
        ("priority", pa.float64()),
        ("segment", pa.string()),
        # Of the program's experiment; NULL for people outside it.
        ("arm", pa.string()),
    ]
)
OPTIONAL = ("external_id", "priority", "segment")
"""Columns that ``audience.sql`` may leave out."""
STRATA = pa.schema([("user_id", pa.string()), ("stratum", pa.string())])
"""Each person's stratum in an experiment with ``stratify_by``."""
SEEDED = AUDIENCE.append(pa.field("item_id", pa.string()))
"""An audience as read, with the items that lists are made from: one row per person and item."""

# RE2. An address as Braze checks it, roughly: a name, a domain with a dot, no spaces; at most 254 characters.
_EMAIL = r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00.]+$"
_EMAIL_MAX_CHARACTERS = 254
# E.164: "+", the country code, at most 15 digits in all.
_PHONE = r"^\+[1-9][0-9]{6,14}$"
_PATTERNS: Final[Mapping[str, str]] = {"email": _EMAIL, "phone": _PHONE}
PROBLEMS: Final[Mapping[str, str]] = {
    "email": "not an e-mail address",
    "phone": "not a phone number in E.164, such as +4915112345678",
}
"""Why a person cannot be named to Braze, by identifier; the others have no form."""

# 8 bytes each.
_HASHES_AT_ONCE = 5_000_000


def normalized(column: pa.Array, identifier: Identifier) -> pa.Array:
    """Return identifiers as Braze compares them: addresses in lower case. Numbers have one form only."""
    if identifier.name == "email":
        return pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return column


def normalized_one(person: str, identifier: Identifier) -> str:
    """Return one identifier as :func:`normalized` does."""
    return str(normalized(pa.array([person]), identifier)[0].as_py())


def is_usable(column: pa.Array, identifier: Identifier) -> pa.Array:
    """Say which (normalized) identifiers Braze takes; boolean array of the same shape."""
    pattern = _PATTERNS.get(identifier.name)
    if pattern is None:
        return pc.is_valid(column)
    fits = pc.match_substring_regex(column, pattern)
    if identifier.name == "email":
        fits = pc.and_(fits, pc.less_equal(pc.utf8_length(column), _EMAIL_MAX_CHARACTERS))
    return fits


def with_person(batch: pa.RecordBatch, identifier: Identifier) -> pa.RecordBatch:
    """Return rows of ``audience.sql`` with the identifier of each person as the column ``external_id``."""
    names = batch.schema.names
    column = identifier.name if identifier != EXTERNAL_ID or "external_id" in names else "user_id"
    people = normalized(batch[column], identifier)
    kept = [name for name in names if name != "external_id"]
    return pa.RecordBatch.from_arrays([*(batch[name] for name in kept), people], names=[*kept, "external_id"])


def write_audience(
    batches: Iterable[pa.RecordBatch], target: Path, *, name: str, person: str = "external_id"
) -> None:
    """Write the rows of ``audience.sql`` (``SEEDED``).

    :param batches: texts: ``user_id``, ``external_id`` and perhaps more of ``OPTIONAL`` and ``item_id``.
    :param person: the column of the query that ``external_id`` was, for errors.
    :param name: the SQL file, for errors.
    :raises FatalError: when a row has no id, or a priority that is not a number.
    """
    with pq.ParquetWriter(target, SEEDED, compression="zstd") as writer:
        for batch in batches:
            # The experiment sets the column arm, whatever the query returns.
            named = zip(batch.schema.names, batch.columns, strict=True)
            columns = {name: column for name, column in named if name != "arm"}
            for ids in (columns["user_id"], columns["external_id"]):
                if ids.null_count or pc.any(pc.equal(ids, "")).as_py():
                    raise FatalError(
                        f"{name} returns a person without user_id or {person}; leave such rows out."
                    )
            if "priority" in columns:
                columns["priority"] = _numbers(columns["priority"], name)
            arrays = [
                columns.get(field.name, pa.nulls(batch.num_rows, field.type)).cast(field.type)
                for field in SEEDED
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SEEDED))


def keep_strata(batches: Iterable[pa.RecordBatch], column: str, target: Path) -> Iterator[pa.RecordBatch]:
    """Pass on the rows of ``audience.sql`` and write each person's stratum (``STRATA``)."""
    with pq.ParquetWriter(target, STRATA, compression="zstd") as writer:
        for batch in batches:
            columns = [batch["user_id"], batch[column].cast(pa.string())]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=STRATA))
            yield batch


def _numbers(texts: pa.Array, name: str) -> pa.Array:
    try:
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts).cast(pa.float64())
    except pa.ArrowInvalid:
        raise FatalError(
            f"{name} returns a priority that is not a number; higher numbers go first."
        ) from None


def sort_audience(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> int:
    """Sort an audience and drop repeated rows, so that equal audiences are equal files.

    :returns: the number of people.
    """
    columns = ", ".join(AUDIENCE.names)
    people = connection.read_parquet(str(source)).project(columns).distinct().order("ALL")
    people.write_parquet(str(target), compression="zstd")
    return int(pq.read_metadata(target).num_rows)


def write_audience_items(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> None:
    """Write each person's items with their row numbers in the query's result (``job_input.PAIRS``).

    :param source: ``SEEDED``.
    """
    pairs = connection.read_parquet(str(source), file_row_number=True).filter("item_id <> ''")
    pairs.project("user_id, item_id, file_row_number AS place").write_parquet(str(target), compression="zstd")


def check_unique(connection: duckdb.DuckDBPyConnection, audience: Path, column: str = "external_id") -> None:
    """Raise FatalError when a Braze user is in the audience more than once.

    :param column: of ``audience.sql`` with the identifier.
    """
    people = connection.read_parquet(str(audience)).project("external_id, hash(external_id) AS digest")
    passes = 1 + pq.read_metadata(audience).num_rows // _HASHES_AT_ONCE
    repeated = 0
    for number in range(passes):
        # Sorting hashes is far cheaper than grouping texts; only the few equal ones are compared as texts.
        share = people.filter(f"(digest >> 8) % {passes} = {number}")
        hashes = np.sort(share.project("digest").fetchnumpy()["digest"])
        suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if len(suspects):
            repeated += _repeated(connection, share, suspects)
    if repeated:
        raise FatalError(
            f"audience.sql returns {repeated} Braze user(s) more than once; two writes for one user would race. Make "
            f"{column} unique. To find them: SELECT {column} FROM (…) GROUP BY 1 HAVING count(*) > 1."
        )


def _repeated(
    connection: duckdb.DuckDBPyConnection, people: duckdb.DuckDBPyRelation, suspects: NDArray[np.uint64]
) -> int:
    looked_at = connection.from_arrow(pa.table({"digest": pa.array(suspects)}))
    counted = people.join(looked_at, "digest").aggregate("external_id, count(*) AS times", "external_id")
    return len(counted.filter("times > 1"))
