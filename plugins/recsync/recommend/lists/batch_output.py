"""Read the output of a batch inference job: block by block into columns, line by line only where a block is odd.

The lines come in any order; ``error`` and ``scores`` may be absent; a job can be ACTIVE with failed lines.
https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from recsync.recommend.lists.fast_parser import read_usual
from recsync.storage.byte_stream import ByteStream

# Measured: smaller blocks pay for their calls, larger ones only cost memory.
BLOCK_BYTES = 2_000_000
# A line of 500 items with ids of 256 characters and scores has about 140 kB; what is longer is no output line.
MAX_LINE_BYTES = 16_000_000
_BOM = b"\xef\xbb\xbf"

LINES = pa.schema(
    [("user_id", pa.string()), ("item_ids", pa.list_(pa.string())), ("error", pa.string())]
)  # one row per line; ``item_ids`` means nothing where ``error`` is set
USER, ITEM = "userId", "itemId"
"""Members of ``input`` that say whose line it is: ``LINES`` calls it ``user_id`` whichever it is."""


def _parse_options(key: str) -> pj.ParseOptions:
    document = pa.schema(
        [
            ("input", pa.struct([(key, pa.string())])),
            ("output", pa.struct([("recommendedItems", pa.list_(pa.string()))])),
            ("error", pa.string()),
        ]
    )
    return pj.ParseOptions(explicit_schema=document, unexpected_field_behavior="ignore")


_PARSE = {key: _parse_options(key) for key in (USER, ITEM)}


@dataclass(frozen=True)
class UserList:
    """One output line: ``error`` is None when the line holds recommendations."""

    user_id: str
    item_ids: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class UnreadableLine:
    """A line that is not what the service writes; nobody can be found in it."""

    line: int
    reason: str


@dataclass(frozen=True)
class BlockLines:
    """What some whole lines of an object hold.

    :param columns: ``LINES``, one row per user.
    :param unreadable: numbered from 1 in this block.
    :param line_ends: how many there are.
    """

    columns: pa.RecordBatch
    unreadable: tuple[UnreadableLine, ...]
    line_ends: int


def cut_blocks(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Cut a stream at line ends into blocks of about ``block_bytes``, holding one at a time.

    A line over ``MAX_LINE_BYTES`` is cut short, so that it is unreadable rather than held whole.
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


def read_block(block: bytes, key: str = USER) -> BlockLines:
    """Read the lines of one block: by their places, else as JSON at once, else one by one.

    :param key: ``USER`` or ``ITEM``.
    """
    usual = read_usual(block, key)
    if usual is not None:
        users, lists = usual
        columns = pa.RecordBatch.from_arrays([users, lists, pa.nulls(len(users), pa.string())], schema=LINES)
        return BlockLines(columns, (), len(users))
    line_ends = block.count(b"\n")
    columns = _read_columns(block, key)
    if columns is not None:
        return BlockLines(columns, (), line_ends)
    found: list[UserList] = []
    unreadable: list[UnreadableLine] = []
    for line in read_lines(block.split(b"\n"), key):
        if isinstance(line, UserList):
            found.append(line)
        else:
            unreadable.append(line)
    values = {
        "user_id": [line.user_id for line in found],
        "item_ids": [list(line.item_ids) for line in found],
        "error": [line.error for line in found],
    }
    return BlockLines(pa.RecordBatch.from_pydict(values, schema=LINES), tuple(unreadable), line_ends)


def _read_columns(data: bytes, key: str) -> pa.RecordBatch | None:
    """Read a block at once; None when any of its lines needs a closer look."""
    whole = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        table = pj.read_json(pa.BufferReader(data), read_options=whole, parse_options=_PARSE[key])
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
    return None if odd else pa.RecordBatch.from_arrays([user_ids, item_ids, error], schema=LINES)


def read_lines(lines: Iterable[bytes], key: str = USER) -> Iterator[UserList | UnreadableLine]:
    """Read JSON lines, one result per non-empty line, never raising for what a line holds."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read(number, line, key)


def _read(number: int, line: bytes, key: str) -> UserList | UnreadableLine:
    try:
        document = json.loads(line)
        user_id = document["input"][key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return UnreadableLine(number, f"not a JSON object with input.{key}")
    if not isinstance(user_id, str) or not user_id or not _encodes(user_id):
        return UnreadableLine(number, f'input.{key} is not a text; write it in quotes, e.g. "17" and not 17')
    if document.get("error"):
        return UserList(user_id, error=str(document["error"]).encode(errors="replace").decode())
    output = document.get("output")
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) and _encodes(item) for item in items):
        return UserList(user_id, error="the line has no list of strings at output.recommendedItems")
    return UserList(user_id, item_ids=tuple(items))


def _encodes(text: str) -> bool:
    """Say whether a text is Unicode; JSON can also write half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
