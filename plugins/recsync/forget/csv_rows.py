"""Remove one person's rows from a CSV object in the dialect of Amazon Personalize."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recsync.forget.identity import Identity
from recsync.storage.csv_text.exported import records

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
