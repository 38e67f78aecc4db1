"""Whether a block may hold a bad row, decided from whole columns; who is suspected is looked at row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.program.columns import Column, Role
from recsync.storage.csv_text import MAX_VALUE_BYTES
from recsync.storage.hashes import numbers_of
from recsync.warehouse.values import (
    ID_FORBIDDEN,
    KEYWORD_LETTER,
    KEYWORDS,
    MAX_FLOAT,
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MILLISECONDS_FROM,
    SECONDS_FROM,
    TimeRange,
)

_QUOTE, _SPACE, _DELETE = 0x22, 0x20, 0x7F
# Arrow reads a number with spaces around it and a hexadecimal one; nobody knows whether Amazon Personalize does.
_BLANKS = (b" ", b"\t")
_HEXADECIMAL = (b"x", b"X")


def suspicious(batch: pa.RecordBatch, columns: Sequence[Column], block: bytes, times: TimeRange) -> bool:
    """Tell whether any row of a block may break a rule; a false alarm costs time only.

    :param batch: the block, read with types.
    """
    if b"\0" in block or b"\r" in block or _odd_numbers(block):
        return True
    keywords = KEYWORD_LETTER in block
    return any(
        _column(column, values, times) or (keywords and _has_keyword(column, values))
        for column, values in zip(columns, batch.columns, strict=True)
    )


def _odd_numbers(block: bytes) -> bool:
    for blank in _BLANKS:
        if blank in block and (
            block.startswith(blank)
            or any(edge + blank in block or blank + edge in block for edge in (b",", b"\n", b'"'))
        ):
            return True
    return any(letter in block and b"0" + letter in block for letter in _HEXADECIMAL)


def _column(column: Column, values: pa.Array, times: TimeRange) -> bool:
    if values.null_count and not column.nullable:
        return True
    if values.null_count == len(values):
        return False
    match column.role:
        case Role.ID:
            return _id(values)
        case Role.TIMESTAMP | Role.CREATION_TIMESTAMP:
            numbers = _numbers(values)
            first, last = int(numbers.min()), int(numbers.max())
            if first < SECONDS_FROM or last >= MILLISECONDS_FROM:
                return True
            return column.role is Role.TIMESTAMP and not times.first <= first <= last <= times.last
        case Role.NUMBER:
            return column.type in {"float", "double"} and _infinite(column, _numbers(values))
        case Role.TEXTUAL:
            return _longest(values) > MAX_VALUE_BYTES
        case _:
            return _longest(values) > MAX_TEXT_CHARACTERS


def _id(values: pa.Array) -> bool:
    text = np.frombuffer(values.buffers()[2], dtype=np.uint8)
    lowest, highest = int(text.min()), int(text.max())
    if lowest < _SPACE or _longest(values) > MAX_ID_CHARACTERS:
        return True
    if highest < _DELETE and lowest > _QUOTE:
        return False
    return bool(pc.any(pc.match_substring_regex(values, ID_FORBIDDEN)).as_py())


def _longest(values: pa.Array) -> int:
    """Give the length of the longest text in bytes, which is at least that in characters."""
    texts = values.dictionary if pa.types.is_dictionary(values.type) else values
    if not len(texts):
        return 0
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)[: len(texts) + 1]
    return int(np.diff(offsets).max())


def _numbers(values: pa.Array) -> NDArray[np.int64 | np.float64]:
    return numbers_of(values.drop_null() if values.null_count else values)


def _infinite(column: Column, numbers: NDArray[np.int64 | np.float64]) -> bool:
    if not np.isfinite(numbers).all():
        return True
    return column.type == "float" and max(-float(numbers.min()), float(numbers.max())) > MAX_FLOAT


def _has_keyword(column: Column, values: pa.Array) -> bool:
    if column.is_number or column.role is Role.TEXTUAL:
        return False
    texts = values.dictionary if column.is_dictionary else values
    return bool(pc.any(pc.is_in(texts, KEYWORDS)).as_py())
