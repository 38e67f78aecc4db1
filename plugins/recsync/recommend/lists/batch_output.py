"""Read the output of a batch inference job block by block into columns.

{"input":{"userId":"4638"},"output":{"recommendedItems":["63992","115149"],"scores":[0.015,0.013]},"error":null}

``parse_fast`` finds the ids of such lines by the places of their quotes, and checks every byte that it relies on. A
block with any other line goes to a JSON parser. ``scores`` is read only on request. Items are read as hashes of their
ids: copying the ids would take longer than all the rest.

The lines come in any order; ``error`` and ``scores`` may be absent; a job can be ACTIVE with failed lines.
https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.json as pj
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.storage.csv_text import ByteStream
from recsync.storage.hashes import Hashes, overlapping_words, string_hashes, text_hashes
from recsync.warehouse.values import MAX_FLOAT

# Measured: smaller blocks pay for their calls, larger ones only cost memory.
BLOCK_BYTES = 2_000_000
# Far above the longest line: 500 items with ids of 256 characters and scores have about 140 kB.
MAX_LINE_BYTES = 16_000_000
_BOM = b"\xef\xbb\xbf"

LINES = pa.schema(
    [
        ("user_id", pa.string()),
        ("items", pa.list_(pa.uint64())),
        ("error", pa.string()),
        ("scores", pa.list_(pa.float32())),
    ]
)
"""One row per line; ``items`` are hashes of ids (``string_hashes``), without meaning if ``error`` is set. ``scores``
is as in the line, so there may be more or fewer than items; NULL when none were read."""
USER, ITEM = "userId", "itemId"
"""Members of ``input`` that say whose line it is: ``LINES`` calls it ``user_id`` whichever it is."""
# Amazon Personalize writes one <input>.out per input object, and an object _CHECK beside them.
_ENDINGS = ((".out", ".out.gz"), (".jsonl", ".jsonl.gz", ".json", ".json.gz"))


def output_names(names: Iterable[str]) -> list[str]:
    """Return the files of a batch output: all ``.out``, or else other files of JSON lines."""
    known = sorted(names)
    for endings in _ENDINGS:
        if chosen := [name for name in known if name.endswith(endings)]:
            return chosen
    return []


class _Unpacked:
    def __init__(self, name: str, stream: ByteStream) -> None:
        self._name = name
        # gzip calls only read().
        self._file = gzip.GzipFile(fileobj=cast("BinaryIO", stream))

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FatalError(f"{self._name} is not a whole gzip file ({error}); write it again.") from None


def unpacked(name: str, stream: ByteStream) -> ByteStream:
    """Decompress a stream with a name that ends in ``.gz``; reading a damaged one raises FatalError."""
    return _Unpacked(name, stream) if name.endswith(".gz") else stream


_BEGIN = '{{"input":{{"{key}":"'
_MIDDLE = b'"},"output":{"recommendedItems":["'
_SCORES = b'"],"scores":['
_END = b']},"error":null}'
_NEWLINE, _QUOTE, _COMMA = b'\n",'
# Quotes of a line: those of the five keys and of the user id before the items, those of two keys after them.
_BEFORE, _AFTER = 10, 4

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


def parse_fast(
    block: bytes, key: str = "userId", *, with_scores: bool = False
) -> tuple[pa.StringArray, pa.ListArray, pa.ListArray | None] | None:
    """Read user ids, hashes of item ids, and scores; None when any line is not of the usual form.

    :param block: whole lines, each with its line end.
    :param key: the only member of ``input``.
    """
    begin = _BEGIN.format(key=key).encode()
    if b"\\" in block or not block.endswith(b"\n"):
        return None
    data, words = np.frombuffer(block, np.uint8), overlapping_words(block)
    # Of the bytes up to a quote, usual lines hold only quotes and line ends.
    marks = np.flatnonzero(data <= _QUOTE)
    found = data.take(marks)
    is_end = found == _NEWLINE
    known = is_end | (found == _QUOTE)
    if not known.all():
        marks, is_end = marks[known], is_end[known]
    # The marks of line n are marks[first[n]:last[n] + 1]: its quotes, and its end.
    last = np.flatnonzero(is_end)
    first = np.concatenate([[0], last[:-1] + 1])
    counts = last - first - _BEFORE - _AFTER
    if (counts < 2).any() or (counts % 2).any():
        return None
    ends = marks[last]
    starts = np.concatenate([[0], ends[:-1] + 1])
    user_end, item_begin = marks[first + 5], marks[first + _BEFORE]
    item_end = marks[last - _AFTER - 1]
    if not (
        _stands(words, starts, begin)
        and _stands(words, user_end, _MIDDLE)
        and (user_end > starts + len(begin)).all()
        and np.array_equal(item_begin, user_end + len(_MIDDLE) - 1)
        and _stands(words, item_end, _SCORES)
        and _stands(words, ends - len(_END), _END)
    ):
        return None
    # Without the quotes of the keys and the line ends, the rest is one pair per item.
    inner = np.ones(len(marks), np.bool_)
    for offset in range(_BEFORE):
        inner[first + offset] = False
    for offset in range(_AFTER + 1):
        inner[last - offset] = False
    opening, closing = marks[inner].reshape(-1, 2).T
    # All but the last item of each list have a comma and the next one behind them; the last have what _SCORES says.
    followed = len(opening) - len(ends)
    if (
        np.count_nonzero(opening[1:] - closing[:-1] == 2) != followed
        or np.count_nonzero(data.take(closing + 1) == _COMMA) != followed
    ):
        return None
    users = _texts(data, starts + len(begin), user_end)
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            return None
    items = pa.array(text_hashes(words, opening + 1, closing - opening - 1))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts // 2)]).astype(np.int32))
    if not with_scores:
        return users, pa.ListArray.from_arrays(offsets, items), None
    scores = _parse_scores(block, item_end + len(_SCORES), ends - len(_END), counts // 2)
    if scores is None:
        return None
    return users, pa.ListArray.from_arrays(offsets, items), pa.ListArray.from_arrays(offsets, scores)


def _parse_scores(block: bytes, starts: Places, ends: Places, counts: Places) -> pa.FloatArray | None:
    """Read the numbers between places of a block; None unless there are ``counts``, all finite."""
    texts = [block[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    if [text.count(b",") + 1 for text in texts] != counts.tolist():
        return None
    # Arrow's CSV reader is the fastest parser of many numbers at hand: 3 times numpy's, 10 times Python's.
    lines = b"\n".join(texts).replace(b",", b"\n")
    try:
        scores = pv.read_csv(pa.BufferReader(lines), *_CSV, _NUMBERS)["score"]
    except pa.ArrowInvalid:
        return None
    finite = pc.all(pc.is_finite(scores)).as_py() and not scores.null_count
    return scores.combine_chunks() if finite and len(scores) == counts.sum() else None


def _stands(words: Hashes, places: Places, text: bytes) -> bool:
    """Return whether a text of at least 8 bytes is at each of the ascending positions.

    :param words: ``overlapping_words`` of the block, one more than it has bytes.
    """
    if int(places[0]) < 0 or int(places[-1]) + len(text) >= len(words):
        return False
    for at in (*range(0, len(text) - 8, 8), len(text) - 8):
        wanted = np.frombuffer(text[at : at + 8], "<u8")
        if not (words[places + at] == wanted).all():
            return False
    return True


def _texts(data: Bytes, starts: Places, ends: Places) -> pa.StringArray:
    """Copy the texts between places."""
    lengths = ends - starts
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat((starts - offsets[:-1]).astype(np.int32), lengths)
    places += np.arange(len(places), dtype=np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data.take(places)))


_CSV = (
    pv.ReadOptions(use_threads=False, column_names=["score"], block_size=2**30),
    pv.ParseOptions(quote_char=False, ignore_empty_lines=False),
)
_NUMBERS = pv.ConvertOptions(column_types={"score": pa.float32()}, null_values=[""])


def _parse_options(key: str, *, with_scores: bool) -> pj.ParseOptions:
    output = [("recommendedItems", pa.list_(pa.string()))]
    if with_scores:
        output.append(("scores", pa.list_(pa.float32())))
    document = [
        ("input", pa.struct([(key, pa.string())])),
        ("output", pa.struct(output)),
        ("error", pa.string()),
    ]
    return pj.ParseOptions(explicit_schema=pa.schema(document), unexpected_field_behavior="ignore")


_PARSE = {
    (key, scores): _parse_options(key, with_scores=scores) for key in (USER, ITEM) for scores in (False, True)
}


@dataclass(frozen=True)
class UserList:
    """One output line: ``error`` is None when the line holds recommendations."""

    user_id: str
    item_ids: tuple[str, ...] = ()
    error: str | None = None
    scores: tuple[float | None, ...] | None = None


@dataclass(frozen=True)
class UnreadableLine:
    """A line without a readable user."""

    line: int
    reason: str


@dataclass(frozen=True)
class BlockLines:
    """The lines of one block.

    :param columns: ``LINES``, one row per readable line.
    :param unreadable: numbered from 1 in this block.
    :param line_ends: number of line ends in the block.
    """

    columns: pa.RecordBatch
    unreadable: tuple[UnreadableLine, ...]
    line_ends: int


def cut_blocks(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Cut a stream at line ends into blocks of about ``block_bytes``, holding one at a time.

    A line over ``MAX_LINE_BYTES`` is cut, and so becomes unreadable.
    """
    held, data = b"", stream.read(block_bytes).removeprefix(_BOM)
    while data:
        end = data.rfind(b"\n") + 1
        if end:
            yield held + data[:end]
            held = data[end:]
        else:
            held = (held + data)[:MAX_LINE_BYTES]
        data = stream.read(block_bytes)
    if held:
        yield held


def read_block(block: bytes, key: str = USER, *, with_scores: bool = False) -> BlockLines:
    """Read the lines of one block: by their places, else as JSON at once, else one by one.

    :param key: ``USER`` or ``ITEM``.
    """
    usual = parse_fast(block, key, with_scores=with_scores)
    if usual is not None:
        users, items, scores = usual
        nothing = [pa.nulls(len(users), LINES.field(name).type) for name in ("error", "scores")]
        arrays = [users, items, nothing[0], nothing[1] if scores is None else scores]
        return BlockLines(pa.RecordBatch.from_arrays(arrays, schema=LINES), (), len(users))
    line_ends = block.count(b"\n")
    columns = _read_columns(block, key, with_scores=with_scores)
    if columns is not None:
        return BlockLines(columns, (), line_ends)
    found: list[UserList] = []
    unreadable: list[UnreadableLine] = []
    for line in read_lines(block.split(b"\n"), key, with_scores=with_scores):
        if isinstance(line, UserList):
            found.append(line)
        else:
            unreadable.append(line)
    values = {name: [getattr(line, name) for line in found] for name in ("user_id", "error", "scores")}
    item_ids = pa.array([line.item_ids for line in found], pa.list_(pa.string()))
    columns = pa.RecordBatch.from_pydict({**values, "items": _hashed(item_ids)}, schema=LINES)
    return BlockLines(columns, tuple(unreadable), line_ends)


def _hashed(item_ids: pa.ListArray) -> pa.ListArray:
    """Replace the ids of lists by their hashes; a list that is NULL becomes an empty one."""
    lengths = pc.list_value_length(item_ids).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(string_hashes(item_ids.flatten())))


def _read_columns(data: bytes, key: str, *, with_scores: bool) -> pa.RecordBatch | None:
    """Read a whole block; None when it has a line that must be parsed separately."""
    whole = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    options = _PARSE[key, with_scores]
    try:
        table = pj.read_json(pa.BufferReader(data), read_options=whole, parse_options=options)
        table = table.combine_chunks()
        user_ids = pc.struct_field(table["input"], key).combine_chunks()
        item_ids = pc.struct_field(table["output"], "recommendedItems").combine_chunks()
        if not data.isascii():
            user_ids.validate(full=True)
            item_ids.values.validate(full=True)
    except pa.ArrowInvalid:
        return None
    # An empty error counts as none, as null does.
    error = pc.if_else(pc.equal(table["error"], ""), None, table["error"]).combine_chunks()
    odd = (
        user_ids.null_count > 0
        or pc.any(pc.equal(user_ids, "")).as_py()
        or item_ids.values.null_count > 0
        or pc.any(pc.and_(pc.is_null(item_ids), pc.is_null(error))).as_py()
    )
    if odd:
        return None
    scores = pa.nulls(len(user_ids), LINES.field("scores").type)
    if with_scores:
        scores = pc.struct_field(table["output"], "scores").combine_chunks()
    return pa.RecordBatch.from_arrays([user_ids, _hashed(item_ids), error, scores], schema=LINES)


def read_lines(
    lines: Iterable[bytes], key: str = USER, *, with_scores: bool = False
) -> Iterator[UserList | UnreadableLine]:
    """Read JSON lines; each non-empty line gives one result, whatever it holds."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read(number, line, key, with_scores=with_scores)


def _read(number: int, line: bytes, key: str, *, with_scores: bool) -> UserList | UnreadableLine:
    try:
        document = json.loads(line)
        user_id = document["input"][key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return UnreadableLine(number, f"not a JSON object with input.{key}")
    if not isinstance(user_id, str) or not user_id or not _is_unicode(user_id):
        return UnreadableLine(number, f'input.{key} is not a text; write it in quotes, e.g. "17" and not 17')
    if document.get("error"):
        return UserList(user_id, error=str(document["error"]).encode(errors="replace").decode())
    output = document.get("output")
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) and _is_unicode(item) for item in items):
        return UserList(user_id, error="the line has no list of strings at output.recommendedItems")
    return UserList(user_id, tuple(items), scores=_scores(output) if with_scores else None)


def _scores(output: dict[str, Any]) -> tuple[float | None, ...] | None:
    """Return the scores of a line; None when they are not a list of numbers."""
    scores = output.get("scores")
    if not isinstance(scores, list):
        return None
    if not all(score is None or type(score) in (int, float) for score in scores):
        return None
    return tuple(None if score is None or not abs(score) <= MAX_FLOAT else score for score in scores)


def _is_unicode(text: str) -> bool:
    """Return whether a text is valid Unicode; JSON can also escape half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
