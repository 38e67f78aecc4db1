"""Cut streams of CSV into whole records.

``cut_records`` reads RFC 4180, as warehouses write it; ``records`` reads the dialect of exported objects, where a
backslash escapes inside quotes.
https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsync.errors import FatalError, RetriableError


class ByteStream(Protocol):
    """A file, the body of an S3 object, and the like."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""


_QUOTE, _LINE_FEED = ord('"'), ord("\n")


def record_ends(block: bytes) -> NDArray[np.int64]:
    """Return the position after each record's line end in a block of whole records."""
    text = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(text == _LINE_FEED)
    if b'"' in block:
        ends = ends[~inside_quotes(text, ends)]
    return ends + 1


def inside_quotes(text: NDArray[np.uint8], positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which positions of a block are inside quotes."""
    quotes = np.flatnonzero(text == _QUOTE)
    before: NDArray[np.int64] = np.searchsorted(quotes, positions)
    return (before & 1).astype(np.bool_)


def split_records(block: bytes) -> list[bytes]:
    """Split a block into records with their line ends."""
    ends = record_ends(block).tolist()
    return [block[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def unix_line_ends(block: bytes) -> bytes:
    """Replace the CRLF at the end of records with LF."""
    if b"\r" not in block:
        return block
    if b'"' not in block:
        return block.replace(b"\r\n", b"\n")
    return b"".join(
        record[:-2] + b"\n" if record.endswith(b"\r\n") else record for record in split_records(block)
    )


# Large enough to amortise the work per block. The arrays of larger blocks are so large that malloc returns their pages
# each time, and checks take twice as long.
BLOCK_BYTES = 1024 * 1024
# The longest value that Amazon Personalize reads has 20,000 characters.
MAX_VALUE_BYTES = 1024 * 1024
# No warehouse returns a longer record: a quote is missing.
MAX_RECORD_BYTES = 256 * 1024 * 1024
_MARKS = re.compile(rb'[,\n"]')
_QUOTED = re.compile(rb'(?:[^"]++|"")*+')
_NO_END = "Either a quote is not closed or the connection to the warehouse was cut: run the query by hand."
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def cut_records(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read the stream in blocks of whole records.

    A value of over ``MAX_VALUE_BYTES`` is cut to one byte more, by which the checks recognise it.

    :param stream: RFC 4180 CSV in which every record ends with a line feed.
    :param block_bytes: the least size of a block, except for the last.
    :raises RetriableError: when the stream ends inside a record, as it does when a connection breaks.
    :raises FatalError: when a record does not end, e.g. because a quote is not closed.
    """
    text, ended = _fill(stream, b"", max(block_bytes, len(_BYTE_ORDER_MARK)))
    text = text.removeprefix(_BYTE_ORDER_MARK)
    while True:
        end = _last_record_end(text)
        if end:
            yield from _shortened(text if end == len(text) else text[:end])
        pending = text[end:]
        if ended:
            break
        if len(pending) > MAX_VALUE_BYTES:
            record, pending = _long_record(stream, pending, block_bytes)
            yield record
        text, ended = _fill(stream, pending, block_bytes)
    if pending:
        raise RetriableError(
            "The stream ended in the middle of a record: what came before is not the whole result. Was the connection "
            "to the warehouse cut?"
        )


class _Shortener:
    """Copy one record, cutting values of over ``MAX_VALUE_BYTES`` to one byte more."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._quoted = False
        # After a quote inside quotes, which ends the value or is the first of a doubled quote.
        self._closing = False
        self._room = MAX_VALUE_BYTES + 1
        self._size = 0

    def feed(self, data: bytes) -> int | None:
        """Add bytes, and return how many belong to the record; None when it goes on."""
        self._size += len(data)
        if self._size > MAX_RECORD_BYTES:
            raise FatalError(f"A record has over {MAX_RECORD_BYTES} bytes. {_NO_END}")
        place = 0
        while place < len(data):
            if self._closing:
                place = self._close(data, place)
            elif self._quoted:
                place = self._inside_quotes(data, place)
            elif (place := self._outside_quotes(data, place)) and self._kept[-1] == b"\n":
                return place
        return None

    @property
    def record(self) -> bytes:
        return b"".join(self._kept)

    def _close(self, data: bytes, place: int) -> int:
        self._closing = False
        self._quoted = data[place] == _QUOTE
        if not self._quoted:
            self._kept.append(b'"')
            return place
        if self._room:
            self._kept.append(b'""')
            self._room -= 1
        return place + 1

    def _inside_quotes(self, data: bytes, place: int) -> int:
        found = _QUOTED.match(data, place)
        end = found.end() if found else place
        while place < end and self._room:
            piece = data[place : min(end, place + self._room)]
            if (len(piece) - len(piece.rstrip(b'"'))) % 2:
                # Keep both halves of a doubled quote or none.
                piece = piece[:-1] or data[place : place + 2]
            self._kept.append(piece)
            self._room -= len(piece) - piece.count(b'""')
            place += len(piece)
        if end == len(data):
            return end
        self._quoted, self._closing = False, True
        return end + 1

    def _outside_quotes(self, data: bytes, place: int) -> int:
        found = _MARKS.search(data, place)
        end = found.start() if found else len(data)
        self._kept.append(data[place : min(end, place + self._room)])
        self._room -= min(self._room, end - place)
        if found is None:
            return end
        mark = data[end : end + 1]
        self._kept.append(mark)
        self._quoted = mark == b'"'
        if not self._quoted:
            self._room = MAX_VALUE_BYTES + 1
        return end + 1


def _shortened(block: bytes) -> Iterator[bytes]:
    """Shorten the long values of whole records."""
    if len(block) <= MAX_VALUE_BYTES:
        yield block
        return
    for record in split_records(block):
        if len(record) > MAX_VALUE_BYTES:
            shortener = _Shortener()
            shortener.feed(record)
            yield shortener.record
        else:
            yield record


def _long_record(stream: ByteStream, pending: bytes, block_bytes: int) -> tuple[bytes, bytes]:
    """Read the rest of a long record; return it with its long values shortened, and the bytes after it."""
    shortener, data = _Shortener(), pending
    while data:
        if (used := shortener.feed(data)) is not None:
            return shortener.record, data[used:]
        data = stream.read(block_bytes)
    raise FatalError(f"The stream ended in a record of over {MAX_VALUE_BYTES} bytes. {_NO_END}")


def _fill(stream: ByteStream, pending: bytes, block_bytes: int) -> tuple[bytes, bool]:
    """Read up to the size of a block; return True too when the stream ended."""
    pieces, size = [pending], len(pending)
    # Double the size for a long unfinished record, so that the search for its end stays linear.
    wanted = max(block_bytes, 2 * size)
    while size < wanted:
        piece = stream.read(wanted - size)
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False


def _last_record_end(text: bytes) -> int:
    """Find the end of the last whole record; 0 when there is none."""
    end = text.rfind(b"\n") + 1
    if b'"' not in text:
        return end
    quotes = text.count(b'"', 0, end)
    # After an odd number of quotes, a line end is inside a value: go back to before its opening quote.
    while end and quotes % 2:
        before = text.rfind(b"\n", 0, text.rfind(b'"', 0, end)) + 1
        quotes -= text.count(b'"', before, end)
        end = before
    return end


_ESCAPED = re.compile(rb"\\.", re.DOTALL)


def records(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Read the records of an exported object without line ends, header first, as one list per block.

    :param blocks: the object's bytes, split anywhere.
    """
    rest = b""
    for block in blocks:
        text = rest + block
        if b'"' in text:
            whole, rest = _cut_quoted(text)
        else:
            *whole, rest = text.split(b"\n")
        if whole:
            yield whole
    if rest:
        yield [rest]


def cells(record: str) -> list[str]:
    """Return the cells of one record of an exported object."""
    if '"' not in record:
        return record.split(",")
    return next(csv.reader([record], escapechar="\\", doublequote=False))


def _cut_quoted(text: bytes) -> tuple[list[bytes], bytes]:
    """Join the lines between an opening quote and its closing one."""
    whole: list[bytes] = []
    begun: list[bytes] = []
    *lines, last = text.split(b"\n")
    for line in lines:
        # Only a line with an odd number of quotes opens or closes a cell that spans lines.
        opens_or_closes = b'"' in line and _ESCAPED.sub(b"", line).count(b'"') % 2 == 1
        if begun or opens_or_closes:
            ends = bool(begun) and opens_or_closes
            begun.append(line)
            if ends:
                whole.append(b"\n".join(begun))
                begun = []
        else:
            whole.append(line)
    return whole, b"\n".join([*begun, last])
