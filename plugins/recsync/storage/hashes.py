"""Hash whole columns at once: 64 bits per value, equal in every process.

Files keep these hashes in place of ids and values, so the functions must never change. Two different values collide
with probability 2^-64; among 10 million ids that is one pair in 370,000 exports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
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
    return _with_nulls(text_hashes(overlapping_words(data), offsets[:-1], np.diff(offsets)), column)


def text_hashes(
    words: Hashes, starts: NDArray[np.int_ | np.int32], lengths: NDArray[np.int_ | np.int32]
) -> Hashes:
    """Hash at least one text of a buffer, as ``string_hashes`` does.

    :param words: ``overlapping_words`` of the buffer.
    """
    done, shortest, longest = _WORD_BYTES, int(lengths.min()), int(lengths.max())
    adjacent = 0 < shortest == longest and bool((np.diff(starts) == longest).all())

    def words_at(place: int) -> Hashes:
        """Return the word at this place of each text; no text may end before it."""
        # Adjacent texts of one length, such as UUIDs, need no index of each text: a third of the time.
        found = words[int(starts[0]) + place :: longest][: len(starts)] if adjacent else words[starts + place]
        if shortest == longest:
            masked: Hashes = found & _MASKS[min(longest - place, _WORD_BYTES)]
            return masked
        if shortest < place + _WORD_BYTES:
            found &= _MASKS.take(np.minimum(lengths - place, _WORD_BYTES))
        return found

    hashes = mixed(words_at(0) ^ lengths.astype(np.uint64) * STEP)
    while shortest > done:
        # All rows go on: without the copies that a choice of rows takes.
        hashes = mixed((hashes + STEP) ^ words_at(done))
        done += _WORD_BYTES
    rows = np.flatnonzero(lengths > done) if longest > done else lengths[:0]
    while len(rows):
        left = lengths[rows] - done
        word = words[starts[rows] + done] & _MASKS.take(np.minimum(left, _WORD_BYTES))
        # The position counts, because each step mixes the result of the one before.
        hashes[rows] = mixed((hashes[rows] + STEP) ^ word)
        done += _WORD_BYTES
        rows = rows[left > _WORD_BYTES]
    return hashes


def column_hashes(column: pa.Array) -> Hashes:
    """Hash the values of a column of texts, of numbers, or of a dictionary of texts."""
    if pa.types.is_dictionary(column.type):
        values = string_hashes(column.dictionary)
        indices = numbers_of(column.indices)
        hashes = values[indices] if len(values) else np.zeros(len(column), dtype=np.uint64)
        return _with_nulls(hashes, column)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return string_hashes(column)
    numbers = numbers_of(column)
    if numbers.dtype.itemsize != _WORD_BYTES:
        numbers = numbers.astype(np.int64)
    # Adding 0 makes a new array, and makes -0.0 the 0.0 it is equal to.
    return _with_nulls((numbers + numbers.dtype.type(0)).view(np.uint64), column)


def among(known: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Return which hashes are in a sorted array."""
    if not len(known):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.searchsorted(known, hashes)
    np.minimum(places, len(known) - 1, out=places)
    found: NDArray[np.bool_] = known[places] == hashes
    return found


class HashIndex:
    """Finds distinct hashes by a table of their first bits.

    Measured with 20,000 hashes: 3 ns a look-up, where a binary search takes 110, and Arrow's ``index_in`` 100.
    """

    # One look-up in 25 needs the binary search. A million hashes take 32 MB of slots.
    _SLOTS_PER_HASH_BITS = 3

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._order = np.argsort(hashes).astype(np.int32)
        self._sorted = hashes[self._order]
        bits = len(hashes).bit_length() + self._SLOTS_PER_HASH_BITS
        self._shift = np.uint64(64 - bits)
        # The place of one of the hashes with these first bits; 0 where there is none.
        self._slots = np.zeros(1 << bits, np.int32)
        self._slots[self._slots_of(hashes)] = np.arange(len(hashes))

    def find(self, hashes: Hashes) -> NDArray[np.int32]:
        """Return the place of each hash among those of the index; -1 for an unknown one."""
        if not len(self._hashes):
            return np.full(len(hashes), -1, np.int32)
        found = self._slots.take(self._slots_of(hashes))
        others = np.flatnonzero(self._hashes.take(found) != hashes)
        places = np.minimum(np.searchsorted(self._sorted, hashes[others]), len(self._sorted) - 1)
        found[others] = np.where(self._sorted[places] == hashes[others], self._order[places], -1)
        return found

    def _slots_of(self, hashes: Hashes) -> NDArray[np.int64]:
        return (hashes >> self._shift).view(np.int64)


# Key of the metadata of a Parquet file with positions in a catalog; the value is the digest of the catalog's item_id.
POSITIONS_IN = "catalog"


def column_digest(column: pa.Array) -> str:
    """Return a digest of the texts of a column, in their order."""
    return hashlib.blake2b(string_hashes(column).tobytes(), digest_size=16).hexdigest()


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
    dtype = column.type.to_pandas_dtype()
    if not len(column):
        return np.zeros(0, dtype)
    # Not to_numpy, which imports pandas.
    numbers = np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * np.dtype(dtype).itemsize)
    if not column.null_count:
        return numbers
    return np.where(nulls_of(column), dtype(0), numbers)


def present_numbers(column: pa.Array) -> NDArray[np.int64 | np.float64]:
    """Return the numbers of a column that are not NULL."""
    numbers = numbers_of(column)
    return numbers[~nulls_of(column)] if column.null_count else numbers


def number_column(values: NDArray[Any]) -> pa.Array:
    """Return numbers or flags as an Arrow array; ``pa.array`` would import pandas, 40 MB and 0.4 s."""
    if values.dtype == np.bool_:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def text_column(texts: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array, without pandas."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def nulls_of(column: pa.Array) -> NDArray[np.bool_]:
    """Return which values are NULL, from Arrow's bitmap: ``pyarrow.compute`` would take 12 MB of an export.

    https://arrow.apache.org/docs/format/Columnar.html#validity-bitmaps
    """
    bitmap = column.buffers()[0]
    if bitmap is None:
        return np.zeros(len(column), dtype=np.bool_)
    end = column.offset + len(column)
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), count=end, bitorder="little")
    nulls: NDArray[np.bool_] = bits[column.offset :] == 0
    return nulls


def overlapping_words(data: pa.Buffer | bytes | None) -> Hashes:
    """View a buffer as one 8-byte word per byte position, padded with zeros at the end."""
    text = b"" if data is None else data
    padded = np.frombuffer(b"".join([text, bytes(_WORD_BYTES)]), dtype=np.uint8)
    return np.ndarray((len(padded) - _WORD_BYTES + 1,), dtype="<u8", buffer=padded, strides=(1,))


def _with_nulls(hashes: Hashes, column: pa.Array) -> Hashes:
    if column.null_count:
        hashes = hashes if hashes.flags.writeable else hashes.copy()
        hashes[nulls_of(column)] = _NULL
    return hashes
