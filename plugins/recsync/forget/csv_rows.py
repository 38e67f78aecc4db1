"""One person's rows leave a CSV object in the dialect of Amazon Personalize, or a block of what a warehouse sends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from recsync.forget.identity import Identity
from recsync.storage.csv_text import cells_of, record_ends
from recsync.storage.csv_text.exported import records
from recsync.suppression.suppression_list import USER, Suppression

_USER_ID = "USER_ID"
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


@dataclass
class Removed:
    """What became of the rows of an object."""

    kept: int = 0
    removed: int = 0


def without_person(blocks: Iterable[bytes], identity: Identity, counted: Removed) -> Iterator[bytes]:
    """Give an object without one person's rows; one without a user column stays as it is.

    :param blocks: its bytes, cut anywhere.
    :param counted: brought up to date with every block.
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
        keep = [row for row in rows if not (_names(row, identity) and _cell(row, place) == wanted)]
        counted.kept += len(keep)
        counted.removed += len(rows) - len(keep)
        if keep:
            yield b"\n".join(keep) + b"\n"


def _names(row: bytes, identity: Identity) -> bool:
    return identity.occurs(row)


def _cell(row: bytes, place: int | None) -> bytes | None:
    """Read one cell; a backslash escapes inside quotes."""
    if place is None:
        return None
    if b'"' not in row:
        cells = row.split(b",")
        return cells[place] if place < len(cells) else None
    for number, cell in enumerate(re.finditer(rb'(?:^|,)(?:"((?:\\.|[^"\\])*)"|([^,"]*))', row, re.DOTALL)):
        if number == place:
            quoted, plain = cell.groups()
            return plain if quoted is None else _ESCAPED.sub(rb"\1", quoted)
    return None


def without_suppressed(block: bytes, columns: Sequence[str], suppression: Suppression) -> bytes:
    """Leave suppressed users out of a block that a warehouse sent.

    :param block: whole records of RFC 4180 CSV without a header.
    :param columns: their columns.
    :returns: the very same object when nobody of it is suppressed.
    """
    if not suppression.users or _USER_ID not in columns or not block:
        return block
    ends = record_ends(block)
    found = suppression.rows(USER, _users(block, columns, ends.tolist()))
    if not found.any():
        return block
    starts = np.concatenate([[0], ends[:-1]])
    kept = np.flatnonzero(~found)
    return b"".join(block[s:e] for s, e in zip(starts[kept].tolist(), ends[kept].tolist(), strict=True))


def _users(block: bytes, columns: Sequence[str], ends: list[int]) -> pa.Array:
    try:
        table = pc.read_csv(
            pa.BufferReader(block),
            pc.ReadOptions(column_names=list(columns), use_threads=False, block_size=len(block) + 1),
            pc.ParseOptions(newlines_in_values=True),
            pc.ConvertOptions(include_columns=[_USER_ID], column_types={_USER_ID: pa.string()}),
        )
        if len(table) == len(ends):
            return table.column(0).combine_chunks()
    except pa.ArrowInvalid:
        pass
    # A block with a misshapen row, which the checks will find: read one by one.
    place = list(columns).index(_USER_ID)
    cells = (list(cells_of(block[s:e].rstrip(b"\r\n"))) for s, e in zip([0, *ends], ends, strict=False))
    values = [row[place] if place < len(row) else None for row in cells]
    return pa.array([v and v.decode(errors="replace") for v in values], pa.string())
