"""Cut a stream of CSV into blocks of whole records."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.core.byte_stream import ByteStream
from recsync.errors import FatalError, RetriableError

# Large enough that the work per block is small beside the work per byte. In larger ones the arrays of a block would be
# so large that malloc gives their pages back each time, and checks take twice as long.
BLOCK_BYTES = 1024 * 1024
# The longest value that Amazon Personalize reads has 20,000 characters; a record this long is a lost quote.
MAX_RECORD_BYTES = 1024 * 1024
# Some programs begin a text with it to say that it is UTF-8; it is no part of the first value.
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def cut_records(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Give the stream in blocks that end where a record ends; a line end inside quotes ends no record.

    :param stream: RFC 4180 CSV in which every record ends with a line feed.
    :param block_bytes: how much is gathered before a block is cut.
    :raises RetriableError: when the stream ends inside a record, as it does when a connection breaks.
    :raises FatalError: when a record is longer than ``MAX_RECORD_BYTES`` (and than a block).
    """
    text, ended = _fill(stream, b"", max(block_bytes, len(_BYTE_ORDER_MARK)))
    text = text.removeprefix(_BYTE_ORDER_MARK)
    while True:
        end = _last_record_end(text)
        if end:
            yield text if end == len(text) else text[:end]
        pending = text[end:]
        if ended:
            break
        if len(pending) > MAX_RECORD_BYTES:
            raise FatalError(
                f"A record has over {MAX_RECORD_BYTES} bytes. Either a quote is not closed or the query returns a very "
                "long text: cut it with left(…)."
            )
        text, ended = _fill(stream, pending, block_bytes)
    if pending:
        raise RetriableError(
            "The stream ended in the middle of a record: what came before is not the whole result. Was the connection "
            "to the warehouse cut?"
        )


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
