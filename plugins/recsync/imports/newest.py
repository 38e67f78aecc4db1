"""The newest row of each user or item, of several objects that one import takes together.

An INCREMENTAL import replaces a row by its id, but in which order it reads the objects of a folder is not documented.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from recsync.imports.new_rows import Piece, Reader
from recsync.program import DatasetType
from recsync.storage.csv_text.exported import records


def newest_rows(
    pieces: Sequence[Piece], kind: DatasetType, read: Reader
) -> Iterator[tuple[Piece, bytes | None]]:
    """Leave out of each piece the rows whose id stands in a later one.

    In memory are the ids, and the rows of one piece.

    :param pieces: oldest first.
    :returns: per piece what is left, with header; None when nothing had to be left out, empty when all had.
    """
    if len(pieces) == 1:
        yield pieces[0], None
        return
    last: dict[bytes, int] = {}
    for number, piece in enumerate(pieces):
        last |= dict.fromkeys((identity for identity, _ in _rows(piece, kind, read)), number)
    for number, piece in enumerate(pieces):
        yield piece, _left(piece, kind, read, last, number)


def _left(piece: Piece, kind: DatasetType, read: Reader, last: dict[bytes, int], number: int) -> bytes | None:
    rows = [(last[identity] == number, row) for identity, row in _rows(piece, kind, read)]
    kept = [row for is_last, row in rows if is_last]
    if len(kept) == len(rows):
        return None
    if not kept:
        return b""
    header = next(records(read(piece.source.key)))[0]
    return b"\n".join([header, *kept]) + b"\n"


def _rows(piece: Piece, kind: DatasetType, read: Reader) -> Iterator[tuple[bytes, bytes]]:
    """Yield each row with its id."""
    found = records(read(piece.source.key))
    header, *first = next(found)
    column = _cells(header).index(f"{kind.value[:-1]}_ID".encode())
    for block in (first, *found):
        for row in block:
            yield _cells(row)[column], row


def _cells(row: bytes) -> list[bytes]:
    if b'"' not in row:
        return row.split(b",")
    cells = next(csv.reader([row.decode()], escapechar="\\", doublequote=False))
    return [cell.encode() for cell in cells]
