"""From RFC 4180 to the CSV that Amazon Personalize reads.

They differ inside quotes: RFC 4180 doubles a quote, Amazon Personalize wants a backslash before a quote or a
backslash. A cell without either is the same in both.
https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from recsync.storage.csv_text.records import split_records

_QUOTE = ord('"')
# A quoted cell, or whatever stands before the next comma; then the comma or the record's line end.
_CELL = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)"|([^,]*?))(?:,|\r?\n\Z)')
_ESCAPED = re.compile(rb'["\\]')
_QUOTED = re.compile(rb'[",\\\r\n]')


def to_personalize(block: bytes) -> bytes:
    """Write whole records in the dialect of Amazon Personalize.

    An empty string becomes an empty cell, as Amazon Personalize knows no difference.

    :returns: the very same object when nothing has to change, which is nearly always.
    """
    quoted = b'"' in block
    if quoted and b'""' in block:
        block = without_empty_strings(block)
    if b"\\" not in block and not (quoted and b'""' in block):
        return block
    return b"".join(
        _encoded(record) if b"\\" in record or b'""' in record else record for record in split_records(block)
    )


def without_empty_strings(block: bytes) -> bytes:
    """Turn cells that hold an empty string (two quotes) into empty cells."""
    text = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    # Every second quote opens a cell or follows a doubled one; it is an empty string when it is closed at once and
    # not by the first half of a doubled quote.
    opening, closing = quotes[0::2], quotes[1::2]
    opening = opening[: len(closing)]
    following = np.append(quotes[2::2], -1)[: len(closing)]
    starts_cell = (opening == 0) | np.isin(text[opening - 1], (ord(","), ord("\n")))
    empty = (closing == opening + 1) & (following != closing + 1) & starts_cell
    if not empty.any():
        return block
    keep = np.ones(len(text), dtype=np.bool_)
    keep[opening[empty]] = False
    keep[closing[empty]] = False
    return text[keep].tobytes()


def cells_of(record: bytes) -> Iterator[bytes | None]:
    """Read the cells of one record.

    :returns: None for a cell without quotes and text, which is how the stream writes NULL.
    """
    position = 0
    while position < len(record):
        cell = _CELL.match(record, position)
        if cell is None:
            yield record[position:]
            return
        position = cell.end()
        if cell[1] is not None:
            yield cell[1].replace(b'""', b'"')
        else:
            yield cell[2] or None
    if record.endswith(b","):
        yield None


def _encoded(record: bytes) -> bytes:
    return b",".join(_cell(cell) for cell in cells_of(record)) + b"\n"


def _cell(value: bytes | None) -> bytes:
    if not value:
        return b""
    if _QUOTED.search(value):
        return b'"' + _ESCAPED.sub(rb"\\\g<0>", value) + b'"'
    return value
