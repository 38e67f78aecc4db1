"""How to erase a person from CSV, JSON and Parquet objects, by every spelling of the id that they may use."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.stages import PREFIXES
from recsync.storage.csv_text import records

# Reports show only the beginning of a long value.
_SHOWN_CHARACTERS = 100
ERASED = "erased"
"""Replaces an id where the value cannot be removed."""


# Columns and members that hold an id in Braze; that of an alias is its name.
_IN_BRAZE = frozenset({"externalid", "brazeid", "aliasname", "email", "phone"})


@dataclass(frozen=True)
class Identity:
    """One person.

    :param user_id: in the warehouse and in Amazon Personalize.
    :param external_ids: in Braze, by whatever identifier.
    """

    user_id: str
    external_ids: tuple[str, ...] = ()

    @cached_property
    def ids(self) -> frozenset[str]:
        """All ids of the person."""
        return frozenset({self.user_id, *self.external_ids})

    @cached_property
    def spellings(self) -> tuple[bytes, ...]:
        """Byte strings; an object that names the person contains at least one."""
        return tuple(sorted({text.encode() for one in self.ids for text in _spellings(one)}))

    def occurs(self, block: bytes) -> bool:
        """Return whether a block may name the person; false positives are possible."""
        return any(spelling in block for spelling in self.spellings)

    def of_column(self, name: str) -> frozenset[str]:
        """Return the ids to look for in a column or member of this name."""
        plain = name.replace("_", "").casefold()
        if plain == "userid":
            return frozenset({self.user_id})
        return frozenset(self.external_ids) if plain in _IN_BRAZE else frozenset()

    def redacted(self, text: str) -> str:
        """Replace every id that is a whole word by ``ERASED``."""
        return self._words.sub(ERASED, text)

    @cached_property
    def _words(self) -> re.Pattern[str]:
        shown = {one[:_SHOWN_CHARACTERS] for one in self.ids}
        longest_first = sorted(self.ids | shown, key=len, reverse=True)
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"user_id": self.user_id, "external_ids": list(self.external_ids)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        return cls(document["user_id"], tuple(document["external_ids"]))

    def with_external_ids(self, external_ids: Iterable[str]) -> Identity:
        """Add ids in Braze."""
        return Identity(self.user_id, tuple(sorted({*self.external_ids, *external_ids})))


def _spellings(text: str) -> set[str]:
    """Return an id as CSV of both dialects, JSON with and without escapes, and HTML spell it."""
    doubled = io.StringIO()
    csv.writer(doubled).writerow([text])
    in_csv = doubled.getvalue().rstrip("\r\n")
    return {
        text,
        in_csv[1:-1] if in_csv.startswith('"') else in_csv,
        re.sub(r'(["\\])', r"\\\1", text),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
    }


_USER_ID = "USER_ID"
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_CELL = re.compile(rb'(?:^|,)(?:"((?:\\.|[^"\\])*)"|([^,"]*))', re.DOTALL)

# Lists of users in the output of a job or in a document.
_LISTS_OF_USERS = frozenset({"recommendedusers", "userslist", "userids", "users"})
# Members with texts that may quote a user's id. In other members, the same text may be the id of an item.
_TEXTS = frozenset({"example", "reason", "error", "message", "rejected", "dead"})
# Members of a column in the report of an export.
_BOUNDS = frozenset({"smallest", "largest"})
# The result for a value that is about the person as a whole.
_NOTHING: Final = object()

# Values that replace a person's in a plan, beside ids and texts; outcomes are counted, so they are kept.
_EMPTY: dict[str, Any] = {"object": b"{}", "changes": []}
_COUNTED = frozenset({"outcome"})


class Redaction(StrEnum):
    """How a person is erased from an object."""

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
    (r"batch/", Redaction.LINES),
    (r"deliveries/.*\.parquet$", Redaction.STAND_IN),
    (r"deliveries/.*\.jsonl$", Redaction.LINES),
    (r".*\.parquet$", Redaction.TABLE),
    (r".*\.csv$", Redaction.ROWS),
    (r".*\.jsonl$", Redaction.LINES),
    # Manifests, plans, state: texts and samples may name a person.
    (r".*\.json$", Redaction.DOCUMENT),
)


def area_of(program: str, key: str) -> str:
    """Return the first folder below the program's, by which the certificate counts."""
    return key.removeprefix(f"{program}/").split("/", 1)[0]


def redaction_of(program: str, key: str) -> Redaction | None:
    """Return the redaction of an object; None for objects of erasures, and for those without ids."""
    inner, prefix = key.removeprefix(f"{program}/"), PREFIXES.get(area_of(program, key))
    if (prefix and not prefix.erases) or inner == "state/suppression.json":
        return None
    plain = inner.removesuffix(".gz")
    return next((redaction for pattern, redaction in _RULES if re.match(pattern, plain)), None)


@dataclass
class RowCounts:
    """How many rows of an object were kept and removed."""

    kept: int = 0
    removed: int = 0


def csv_without_person(blocks: Iterable[bytes], identity: Identity, counted: RowCounts) -> Iterator[bytes]:
    """Yield CSV without the person's rows; CSV without a user column is unchanged.

    :param blocks: the object's bytes, cut anywhere.
    :param counted: updated with every block.
    """
    place: int | None = None
    wanted = identity.user_id.encode()
    for number, lines in enumerate(records(blocks)):
        rows = lines
        if number == 0:
            header = [name.decode().strip('"').upper() for name in lines[0].split(b",")]
            place = header.index(_USER_ID) if _USER_ID in header else None
            yield lines[0] + b"\n"
            rows = lines[1:]
        keep = [row for row in rows if not (identity.occurs(row) and _cell(row, place) == wanted)]
        counted.kept += len(keep)
        counted.removed += len(rows) - len(keep)
        if keep:
            yield b"\n".join(keep) + b"\n"


def _cell(row: bytes, place: int | None) -> bytes | None:
    """Read one cell; a backslash escapes inside quotes."""
    if place is None:
        return None
    if b'"' not in row:
        cells = row.split(b",")
        return cells[place] if place < len(cells) else None
    for number, cell in enumerate(_CELL.finditer(row)):
        if number == place:
            quoted, plain = cell.groups()
            return plain if quoted is None else _ESCAPED.sub(rb"\1", quoted)
    return None


def json_without_person(lines: Iterable[bytes], identity: Identity, counted: RowCounts) -> Iterator[bytes]:
    """Yield JSON lines without those about the person; other lines lose the values that name the person.

    :param lines: each with its line end.
    :param counted: updated with every line; a changed line counts as removed and as kept.
    """
    for line in lines:
        if not identity.occurs(line):
            counted.kept += 1
            yield line
            continue
        document = _loaded(line)
        cleaned = document_without(document, identity)
        counted.removed += cleaned != document
        if cleaned is not None:
            counted.kept += 1
            yield json.dumps(cleaned, ensure_ascii=False).encode() + b"\n"


def document_without(document: Any, identity: Identity) -> Any:
    """Return a document without the person; None when all of it is about the person."""
    cleaned = _without(document, identity)
    return None if cleaned is _NOTHING else cleaned


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        # A line that is not JSON is kept as a text, without the id.
        return line.decode(errors="replace").rstrip("\n")


def _without(value: Any, identity: Identity, member: str = "") -> Any:
    if isinstance(value, str):
        return identity.redacted(value) if member in _TEXTS else value
    if isinstance(value, list):
        kept = [_without(one, identity, member) for one in value]
        return [one for one in kept if one is not _NOTHING]
    if not isinstance(value, dict):
        return value
    if any(str(one) in identity.of_column(name) for name, one in value.items() if isinstance(one, str | int)):
        return _NOTHING
    bounds = _BOUNDS if identity.of_column(str(value.get("name"))) else frozenset()
    cleaned = {
        name: identity.redacted(one)
        if name in bounds and isinstance(one, str)
        else _member(name, one, identity)
        for name, one in value.items()
    }
    # One level up, as in {"input": {"userId": …}}, {"object": {"external_id": …}}, {"values": {"USER_ID": …}}.
    return _NOTHING if _NOTHING in cleaned.values() else cleaned


def _member(name: str, value: Any, identity: Identity) -> Any:
    plain = name.replace("_", "").casefold()
    if plain in _LISTS_OF_USERS and isinstance(value, list):
        value = [one for one in value if not (isinstance(one, str) and one in identity.ids)]
    if plain == "object" and isinstance(value, str):
        # The payload of a dead letter may be JSON in a string.
        try:
            payload = json.loads(value)
        except ValueError:
            payload = None
        if isinstance(payload, dict) and _without(payload, identity) is _NOTHING:
            return _NOTHING
    return _without(value, identity, plain)


def parquet_without_person(
    source: Path, target: Path, identity: Identity, *, stand_in: str = ""
) -> RowCounts:
    """Write a file without the person's rows, row group by row group.

    :param target: written only when there are such rows.
    :param stand_in: keep the rows in their positions, with this id and empty values; empty: drop them.
    """
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        columns = {name: identity.of_column(name) for name in schema.names if identity.of_column(name)}
        counted = RowCounts()
        for group in range(file.num_row_groups):
            found = (
                _found(file.read_row_group(group, columns=list(columns)), columns) if columns else np.zeros(0)
            )
            counted.removed += int(found.sum())
        counted.kept = file.metadata.num_rows - (0 if stand_in else counted.removed)
        if counted.removed:
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    found = _found(table, columns)
                    changed = (
                        _replaced(table, found, stand_in) if stand_in else table.filter(pa.array(~found))
                    )
                    writer.write_table(changed)
    return counted


def _found(table: pa.Table, columns: dict[str, frozenset[str]]) -> Any:
    found = np.zeros(len(table), dtype=np.bool_)
    for name, ids in columns.items():
        column = table.column(name)
        texts = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        hits = pc.is_in(texts, value_set=pa.array(sorted(ids), pa.string()))
        found |= hits.to_numpy(zero_copy_only=False)
    return found


def _replaced(table: pa.Table, found: Any, stand_in: str) -> pa.Table:
    if not found.any():
        return table
    rows = np.flatnonzero(found).tolist()
    columns = []
    for field in table.schema:
        values = table.column(field.name)
        empty = _EMPTY.get(field.name, stand_in if field.name.endswith("_id") else None)
        if empty is None and (field.name in _COUNTED or not pa.types.is_string(field.type)):
            columns.append(values)
            continue
        changed = values.to_pylist()
        for row in rows:
            changed[row] = empty if empty is not None else changed[row] and ""
        columns.append(pa.array(changed, field.type))
    return pa.table(columns, schema=table.schema)
