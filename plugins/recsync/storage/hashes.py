"""Hashes of whole columns at once: 64 bits per value, the same in every process and on every machine.

They stand for ids in files that are kept, so they must never change. Two different values share a hash with a chance
of 2^-64; among 10 million ids that is one pair in 370,000 exports.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.storage.splitmix import STEP, mixed

Hashes = NDArray[np.uint64]
"""One unsigned 64-bit number per row."""

# Any odd number with bits all over.
_ROW = np.uint64(0xBF58476D1CE4E5B9)
# No value hashes to this on purpose; it keeps NULL and an empty string apart.
_NULL = np.uint64(0xD1B54A32D192ED03)
_WORD_BYTES = 8
# _MASKS[n] keeps the first n bytes of a little-endian word.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], dtype=np.uint64)


def string_hashes(column: pa.Array) -> Hashes:
    """Hash texts (or binary values), reading them eight bytes at a time straight from Arrow's buffers."""
    if len(column) == 0:
        return np.empty(0, dtype=np.uint64)
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    starts, lengths = offsets[:-1], np.diff(offsets)
    words = _overlapping_words(data)
    hashes = words[starts]
    hashes &= _MASKS.take(np.minimum(lengths, _WORD_BYTES))
    hashes ^= lengths.astype(np.uint64) * STEP
    hashes = mixed(hashes)
    longest, done = int(lengths.max()), _WORD_BYTES
    rows = np.flatnonzero(lengths > done) if longest > done else lengths[:0]
    while len(rows):
        left = lengths[rows] - done
        word = words[starts[rows] + done] & _MASKS.take(np.minimum(left, _WORD_BYTES))
        # The position is mixed in by the order of the steps: each one works on the result of the last.
        hashes[rows] = mixed((hashes[rows] + STEP) ^ word)
        done += _WORD_BYTES
        rows = rows[left > _WORD_BYTES]
    return _with_nulls(hashes, column)


def column_hashes(column: pa.Array) -> Hashes:
    """Hash the values of a column of texts, of numbers, or of a dictionary of texts."""
    if pa.types.is_dictionary(column.type):
        values = string_hashes(column.dictionary)
        indices = column.indices.fill_null(0).to_numpy()
        hashes = values[indices] if len(values) else np.zeros(len(column), dtype=np.uint64)
        return _with_nulls(hashes, column)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return string_hashes(column)
    numbers = numbers_of(column)
    if numbers.dtype.itemsize != _WORD_BYTES:
        numbers = numbers.astype(np.int64)
    # Adding 0 makes a new array, and makes -0.0 the 0.0 it is equal to.
    return _with_nulls((numbers + numbers.dtype.type(0)).view(np.uint64), column)


def row_hashes(columns: list[Hashes]) -> Hashes:
    """Hash rows from the hashes of their columns; the order of the columns counts."""
    rows = mixed(columns[0])
    for column in columns[1:]:
        rows ^= column
        rows *= _ROW
        rows ^= rows >> np.uint64(32)
    return mixed(rows)


def numbers_of(column: pa.Array) -> NDArray[np.int64 | np.float64]:
    """See a column of numbers as an array, without a copy when it holds no NULL; a NULL reads as 0."""
    filled = column.fill_null(0) if column.null_count else column
    numbers: NDArray[np.int64 | np.float64] = filled.to_numpy()
    return numbers


def _overlapping_words(data: pa.Buffer | None) -> Hashes:
    """See a buffer as one 8-byte word per byte position; beyond its end lie zeros."""
    text = b"" if data is None else data
    padded = np.frombuffer(b"".join([text, bytes(_WORD_BYTES)]), dtype=np.uint8)
    return np.ndarray((len(padded) - _WORD_BYTES + 1,), dtype="<u8", buffer=padded, strides=(1,))


def _with_nulls(hashes: Hashes, column: pa.Array) -> Hashes:
    if column.null_count:
        hashes = hashes.copy() if not hashes.flags.writeable else hashes
        hashes[pc.is_null(column).to_numpy(zero_copy_only=False)] = _NULL
    return hashes
