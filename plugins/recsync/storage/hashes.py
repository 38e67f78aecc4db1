"""Hash whole columns at once: 64 bits per value, equal in every process.

Files keep these hashes in place of ids and values, so the functions must never change. Two different values collide
with probability 2^-64; among 10 million ids that is one pair in 370,000 exports.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # one per row
# The generator's increment; multiples of it are far apart.
STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over all output bits, one to one (splitmix64)."""
    values = values ^ (values >> np.uint64(30))
    values *= _MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)
    return values


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
        # The position counts, because each step mixes the result of the one before.
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
        rows *= _MIX_1
        rows ^= rows >> np.uint64(32)
    return mixed(rows)


def numbers_of(column: pa.Array) -> NDArray[np.int64 | np.float64]:
    """Return a column of numbers as an array, without a copy when it has no NULL; a NULL reads as 0."""
    numbers: NDArray[np.int64 | np.float64] = (
        column.fill_null(0) if column.null_count else column
    ).to_numpy()
    return numbers


def _overlapping_words(data: pa.Buffer | None) -> Hashes:
    """View a buffer as one 8-byte word per byte position, padded with zeros at the end."""
    text = b"" if data is None else data
    padded = np.frombuffer(b"".join([text, bytes(_WORD_BYTES)]), dtype=np.uint8)
    return np.ndarray((len(padded) - _WORD_BYTES + 1,), dtype="<u8", buffer=padded, strides=(1,))


def _with_nulls(hashes: Hashes, column: pa.Array) -> Hashes:
    if column.null_count:
        hashes = hashes if hashes.flags.writeable else hashes.copy()
        hashes[pc.is_null(column).to_numpy(zero_copy_only=False)] = _NULL
    return hashes
