"""Cut a stream of CSV into blocks of whole records."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recsync.errors import FatalError, RetriableError
from recsync.storage.byte_stream import ByteStream
from recsync.storage.csv_text.records import split_records

# Large enough that the work per block is small beside the work per byte. In larger ones the arrays of a block would be
# so large that malloc gives their pages back each time, and checks take twice as long.
BLOCK_BYTES = 1024 * 1024
# The longest value that Amazon Personalize reads has 20,000 characters.
MAX_VALUE_BYTES = 1024 * 1024
# No warehouse returns a record this long; a quote is lost.
MAX_RECORD_BYTES = 256 * 1024 * 1024
_MARKS = re.compile(rb'[,\n"]')
_QUOTED = re.compile(rb'(?:[^"]++|"")*+')
_QUOTE = ord('"')
_NO_END = "Either a quote is not closed or the connection to the warehouse was cut: run the query by hand."
# Some programs begin a text with it to say that it is UTF-8; it is no part of the first value.
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def cut_records(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Give the stream in blocks that end where a record ends; a line end inside quotes ends no record.

    A value of over ``MAX_VALUE_BYTES`` is cut to one byte more, by which the checks know it; its record stays whole.

    :param stream: RFC 4180 CSV in which every record ends with a line feed.
    :param block_bytes: how much is gathered before a block is cut.
    :raises RetriableError: when the stream ends inside a record, as it does when a connection breaks.
    :raises FatalError: when a record has no end, as when a quote is not closed.
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
        # After a quote inside quotes: it ends the value, or another one follows and the two stand for one.
        self._closing = False
        self._room = MAX_VALUE_BYTES + 1
        self._size = 0

    def feed(self, data: bytes) -> int | None:
        """Take the next bytes.

        :returns: how many belong to the record; None when it goes on.
        """
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
        """The record."""
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
                # Two quotes stand for one: both or none.
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
    """Give whole records, those with a long value shortened."""
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
    """Read on to the end of a record that fills a block.

    :returns: the record, its long values shortened, and what was read after it.
    """
    shortener, data = _Shortener(), pending
    while data:
        if (used := shortener.feed(data)) is not None:
            return shortener.record, data[used:]
        data = stream.read(block_bytes)
    raise FatalError(f"The stream ended in a record of over {MAX_VALUE_BYTES} bytes. {_NO_END}")


def _fill(stream: ByteStream, pending: bytes, block_bytes: int) -> tuple[bytes, bool]:
    """Read until there is a block's worth; say whether the stream is at its end."""
    pieces, size = [pending], len(pending)
    # A long unfinished record may already fill a block; doubling it looks at no byte too often.
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
    # With an odd number of quotes before it, a line end lies inside a value: go back to before its opening quote.
    while end and quotes % 2:
        before = text.rfind(b"\n", 0, text.rfind(b'"', 0, end)) + 1
        quotes -= text.count(b'"', before, end)
        end = before
    return end
