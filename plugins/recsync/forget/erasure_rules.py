"""How to erase people from CSV, JSON and Parquet objects, and which objects can hold ids at all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.forget.people import People, kind_of
from recsync.recommend.lists.batch_output import parse_fast
from recsync.stages import PREFIXES
from recsync.storage.csv_text import records

_USER_ID = "USER_ID"
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_CELL = re.compile(rb'(?:^|,)(?:"((?:\\.|[^"\\])*)"|([^,"]*))', re.DOTALL)

# A line of a batch job's input that asks for one user without filter values.
_ASKED = re.compile(rb'^\{"userId":"([^"\\\x00-\x1f]*)"\}\n', re.MULTILINE)

# Lists of users in the output of a job or in a document.
LISTS_OF_USERS = frozenset({"recommendedusers", "userslist", "userids", "users"})
TEXT_MEMBERS = frozenset({"example", "reason", "error", "message", "rejected", "dead"})
"""Members with texts that may quote a user's id. In other members, the same text may be the id of an item."""
BOUNDS = frozenset({"smallest", "largest"})
"""Members of a column in the report of an export."""
# The result for a value that is about a person as a whole.
_NOTHING: Final = object()

# Values that replace a person's in a plan, beside ids and texts; outcomes are counted, so they are kept.
_EMPTY: dict[str, Any] = {"object": b"{}", "changes": []}
_COUNTED = frozenset({"outcome"})


class Redaction(StrEnum):
    """How people are erased from an object."""

    ROWS = "rows of CSV"
    LINES = "lines of JSON"
    DOCUMENT = "JSON document"
    PAGE = "HTML page"
    TABLE = "rows of Parquet"
    STAND_IN = "rows of Parquet whose positions a ledger refers to: kept without content"
    HASHES = "hashes of ids"
    WHOLE = "the whole object"


_RULES: tuple[tuple[str, Redaction], ...] = (
    (r"(exports|full/[^/]+)/staging/", Redaction.WHOLE),
    (r"(exports|full/[^/]+)/reports/.*\.html$", Redaction.PAGE),
    (r"(exports|full/[^/]+)/reports/", Redaction.DOCUMENT),
    (r"(exports|full/[^/]+)/(ids|imported)/", Redaction.HASHES),
    (r"(exports|full/[^/]+)/quarantine/", Redaction.LINES),
    (r"(exports|full|imports)/.*\.csv$", Redaction.ROWS),
    (r"batch/[^/]+/lists/", Redaction.WHOLE),
    (r"batch/", Redaction.LINES),
    (r"deliveries/.*\.parquet$", Redaction.STAND_IN),
    (r"deliveries/.*\.jsonl$", Redaction.LINES),
    (r".*\.parquet$", Redaction.TABLE),
    (r".*\.csv$", Redaction.ROWS),
    (r".*\.jsonl$", Redaction.LINES),
    # Manifests, plans, state: texts and samples may name a person.
    (r".*\.json$", Redaction.DOCUMENT),
)


# The suppression list, and the index of this erasure and others.
_HASHES_ONLY = frozenset({"state/suppression.json", "state/erasure-index.parquet"})


def area_of(program: str, key: str) -> str:
    """Return the first folder below the program's, by which the certificate counts."""
    return key.removeprefix(f"{program}/").split("/", 1)[0]


def redaction_of(program: str, key: str) -> Redaction | None:
    """Return the redaction of an object; None for objects of erasures, and for those without ids."""
    inner, prefix = key.removeprefix(f"{program}/"), PREFIXES.get(area_of(program, key))
    if (prefix and not prefix.erases) or inner in _HASHES_ONLY:
        return None
    plain = inner.removesuffix(".gz")
    return next((redaction for pattern, redaction in _RULES if re.match(pattern, plain)), None)


@dataclass
class RowCounts:
    """Rows of an object that were kept, and those that were removed.

    :param removed: rows, lines or values by request name.
    """

    kept: int = 0
    removed: Counter[str] = field(default_factory=Counter)


def line_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut blocks at line ends; the last line may have none."""
    rest = b""
    for block in blocks:
        text = rest + block if rest else block
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end]
        rest = text[end:]
    if rest:
        yield rest


def users_of_csv(blocks: Iterable[bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Read the records of CSV in the dialect of Amazon Personalize, with the user of each.

    :returns: for each block the records without line ends and their users; the header first, with no user. No
        record has a user where there is no column of users.
    """
    place: int | None = None
    for number, lines in enumerate(records(blocks)):
        rows = lines
        if number == 0:
            header = [name.decode().strip('"').upper() for name in lines[0].split(b",")]
            place = header.index(_USER_ID) if _USER_ID in header else None
            yield lines[:1], []
            rows = lines[1:]
        yield rows, [] if place is None else [_cell(row, place) for row in rows]


def _cell(row: bytes, place: int) -> bytes:
    """Read one cell, empty where the row is too short; a backslash escapes inside quotes."""
    if b'"' not in row:
        cells = row.split(b",", place + 1)
        return cells[place] if place < len(cells) else b""
    for number, cell in enumerate(_CELL.finditer(row)):
        if number == place:
            quoted, plain = cell.groups()
            return plain if quoted is None else _ESCAPED.sub(rb"\1", quoted)
    return b""


def csv_without(blocks: Iterable[bytes], people: People, counted: RowCounts) -> Iterator[bytes]:
    """Yield CSV without the rows of people.

    :param blocks: the object's bytes, cut anywhere.
    :param counted: updated with every block; the header counts as kept.
    """
    wanted = {one.encode(): name for one, name in people.users.items()}
    for rows, users in users_of_csv(blocks):
        kept = rows
        if not wanted.keys().isdisjoint(users):
            counted.removed.update(wanted[one] for one in users if one in wanted)
            kept = [row for row, user in zip(rows, users, strict=True) if user not in wanted]
        counted.kept += len(kept)
        if kept:
            yield b"\n".join(kept) + b"\n"


def json_without(blocks: Iterable[bytes], people: People, counted: RowCounts) -> Iterator[bytes]:
    """Yield JSON lines without those about people; other lines lose the values that name one.

    :param blocks: the object's bytes, cut anywhere.
    :param counted: updated with every block; a changed line counts as removed and as kept.
    """
    for block in line_blocks(blocks):
        if (users := users_of_lines(block)) is None:
            kept = [left for line in block.split(b"\n") if line for left in _line(line, people, counted)]
        else:
            names = [people.users.get(one) for one in users.to_pylist()]
            counted.removed.update(filter(None, names))
            lines = block.split(b"\n")[:-1]
            kept = [line + b"\n" for line, name in zip(lines, names, strict=True) if name is None]
            counted.kept += len(kept)
        if kept:
            yield b"".join(kept)


def users_of_lines(block: bytes) -> pa.Array | None:
    """Read the user of each line of a batch job's input or output; None when a line is of another form."""
    if (usual := parse_fast(block)) is not None:
        return usual[0]
    users = _ASKED.findall(block)
    # With what the form itself takes, they are the whole block.
    if not users or len(block) != sum(map(len, users)) + len(users) * len(b'{"userId":""}\n'):
        return None
    try:
        return pa.array([user.decode() for user in users], pa.string())
    except UnicodeDecodeError:
        return None


def _line(line: bytes, people: People, counted: RowCounts) -> Iterator[bytes]:
    """Yield a line without the people, with a line end; nothing if all of it is about one of them."""
    try:
        cleaned, found = document_without(json.loads(line), people)
    except ValueError:
        # A line that is not JSON is kept as a text.
        cleaned, found = text_without(line.decode(errors="replace"), people)
    counted.removed.update(found)
    if cleaned is not None:
        counted.kept += 1
        yield (json.dumps(cleaned, ensure_ascii=False).encode() if found else line) + b"\n"


def text_without(text: str, people: People) -> tuple[str, set[str]]:
    """Return a text with ``ERASED`` in the place of ids, and the names of the requests of these people."""
    found: set[str] = set()
    return people.redacted(text, found), found


def document_without(document: Any, people: People) -> tuple[Any, set[str]]:
    """Return a document without the people, None when all of it is about one, and the names of their requests."""
    found: set[str] = set()
    cleaned = _without(document, people, found)
    return (None if cleaned is _NOTHING else cleaned), found


def _without(value: Any, people: People, found: set[str], member: str = "") -> Any:
    if isinstance(value, str):
        return people.redacted(value, found) if member in TEXT_MEMBERS else value
    if isinstance(value, list):
        kept = [_without(one, people, found) for one in value]
        return [one for one in kept if one is not _NOTHING]
    if not isinstance(value, dict):
        return value
    for name, one in value.items():
        if isinstance(one, str | int) and (request := people.of_column(name).get(str(one))):
            found.add(request)
            return _NOTHING
    bounds = BOUNDS if kind_of(str(value.get("name"))) else frozenset()
    cleaned = {
        name: people.redacted(one, found)
        if name in bounds and isinstance(one, str)
        else _member(name, one, people, found)
        for name, one in value.items()
    }
    # One level up, as in {"input": {"userId": …}}, {"object": {"external_id": …}}, {"values": {"USER_ID": …}}.
    return _NOTHING if _NOTHING in cleaned.values() else cleaned


def _member(name: str, value: Any, people: People, found: set[str]) -> Any:
    plain = name.replace("_", "").casefold()
    if plain in LISTS_OF_USERS and isinstance(value, list):
        found.update(people.ids[one] for one in value if isinstance(one, str) and one in people.ids)
        value = [one for one in value if not (isinstance(one, str) and one in people.ids)]
    if plain == "object" and (payload := payload_of(value)) is not None:
        about: set[str] = set()
        if _without(payload, people, about) is _NOTHING:
            found |= about
            return _NOTHING
    return _without(value, people, found, plain)


def payload_of(value: Any) -> dict[str, Any] | None:
    """Return the payload of a dead letter, which may be JSON in a string; None for anything else."""
    try:
        payload = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def id_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of a Parquet file that hold ids of people."""
    return [name for name in schema.names if kind_of(name)]


def parquet_without(source: Path, target: Path, people: People, *, stand_in: str = "") -> RowCounts:
    """Write a file without the rows of people, row group by row group.

    :param target: written only when there are such rows.
    :param stand_in: keep the rows in their positions, with this prefix and the request's name as ids and with empty
        values; empty: drop them.
    """
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        columns = id_columns(schema)
        counted = RowCounts()
        for group in range(file.num_row_groups if columns else 0):
            counted.removed.update(filter(None, _names(file.read_row_group(group, columns=columns), people)))
        counted.kept = file.metadata.num_rows - (0 if stand_in else counted.removed.total())
        if counted.removed:
            # The tables for others are compressed as their readers need it.
            codec = file.metadata.row_group(0).column(0).compression
            with pq.ParquetWriter(target, schema, compression=codec) as writer:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    names = _names(table.select(columns), people)
                    found = np.array([name is not None for name in names], dtype=np.bool_)
                    changed = (
                        _replaced(table, names, found, stand_in)
                        if stand_in
                        else table.filter(pa.array(~found))
                    )
                    writer.write_table(changed)
    return counted


def named_in_table(source: Path, people: People) -> set[str]:
    """Return the names of the requests of people whom a file of Parquet or of Arrow's IPC format names."""
    with source.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
        file.seek(0)
        table = pq.read_table(file) if is_parquet else pa.ipc.open_file(file).read_all()
    columns = id_columns(table.schema)
    return set(filter(None, _names(table.select(columns), people))) if columns else set()


def texts_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of ids as texts, whatever its type."""
    return column if column.type == pa.string() else column.cast(pa.string())


def _names(table: pa.Table, people: People) -> NDArray[np.object_]:
    """Return for each row the name of the request of the person that it is about, or None."""
    names = np.full(len(table), None, dtype=np.object_)
    for column in table.column_names:
        ids: Mapping[str, str] = people.of_column(column)
        if not ids:
            continue
        codes = pc.index_in(texts_of(table.column(column)), value_set=pa.array(list(ids), pa.string()))
        rows = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
        requests = list(ids.values())
        for row, code in zip(rows.tolist(), codes.take(rows).to_pylist(), strict=True):
            names[row] = requests[code]
    return names


def _replaced(
    table: pa.Table, names: NDArray[np.object_], found: NDArray[np.bool_], stand_in: str
) -> pa.Table:
    if not found.any():
        return table
    rows = np.flatnonzero(found).tolist()
    columns = []
    for column in table.schema:
        values = table.column(column.name)
        is_id = column.name not in _EMPTY and column.name.endswith("_id")
        empty = _EMPTY.get(column.name)
        if not is_id and empty is None and (column.name in _COUNTED or not pa.types.is_string(column.type)):
            columns.append(values)
            continue
        changed = values.to_pylist()
        for row in rows:
            if is_id:
                changed[row] = f"{stand_in}-{names[row]}"
            else:
                changed[row] = empty if empty is not None else changed[row] and ""
        columns.append(pa.array(changed, column.type))
    return pa.table(columns, schema=table.schema)
