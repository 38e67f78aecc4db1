"""Find the rows that break a rule, by exact checks of each row.

Imported only for a block with such a row: pyarrow.compute takes 12 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.export.checks.report import BadRows
from recsync.program.avro import AvroField, Role
from recsync.program.data import ROW_RULES
from recsync.storage.csv_text import MAX_VALUE_BYTES
from recsync.warehouse.values import (
    DECIMAL_NUMBER,
    ID_FORBIDDEN,
    INT_MAX,
    INT_MIN,
    KEYWORDS,
    LONG_MAX,
    LONG_MIN,
    MAX_FLOAT,
    MAX_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MILLISECONDS_FROM,
    SECONDS_FROM,
    WHOLE_NUMBER,
    TimeRange,
)

Mask = NDArray[np.bool_]
_ORDER = {rule: place for place, rule in enumerate(ROW_RULES)}


def broken_rows(
    batch: pa.RecordBatch, columns: Sequence[AvroField], times: TimeRange, active: Callable[[str], bool]
) -> list[BadRows]:
    """Check each rule on each row.

    :param batch: the block, read as bytes.
    :param active: whether a rule is checked.
    """
    found = [
        (rule, column.name, mask)
        for column, values in zip(columns, batch.columns, strict=True)
        for rule, mask in _column(column, values, times)
        if active(rule) and mask.any()
    ]
    taken = np.zeros(batch.num_rows, dtype=np.bool_)
    broken = []
    for rule, column, mask in sorted(found, key=lambda one: _ORDER[one[0]]):
        rows = np.flatnonzero(mask & ~taken)
        taken |= mask
        if len(rows):
            broken.append(BadRows(rule, column, rows))
    return broken


def _column(column: AvroField, values: pa.Array, times: TimeRange) -> Iterator[tuple[str, Mask]]:
    undecodable = _undecodable(values)
    yield "encoding", undecodable
    lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy()
    yield "value_length", lengths > MAX_VALUE_BYTES
    empty, null = lengths == 0, _mask(pc.is_null(values))
    is_id = column.role is Role.ID
    if not column.nullable:
        yield "missing", null if is_id else empty
    if is_id:
        yield "id_empty", empty & ~null
    texts = pc.if_else(pa.array(undecodable | empty), pa.scalar(None, pa.binary()), values).cast(pa.string())
    yield from _number(column, texts, times) if column.is_number else _text(column, texts)


def _text(column: AvroField, texts: pa.Array) -> Iterator[tuple[str, Mask]]:
    if column.role is Role.TEXTUAL:
        return
    yield "keyword", _mask(pc.is_in(texts, pa.array(KEYWORDS)))
    if column.role is Role.ID:
        yield "id_length", _mask(pc.greater(pc.utf8_length(texts), MAX_ID_CHARACTERS))
        yield "id_characters", _mask(pc.match_substring_regex(texts, ID_FORBIDDEN))
    elif column.role is Role.CATEGORY:
        yield "category_length", _any_part_too_long(texts)
    elif column.role is Role.IMPRESSION:
        yield "impression_length", _any_part_too_long(texts)
    else:
        yield "text_length", _mask(pc.greater(pc.utf8_length(texts), MAX_TEXT_CHARACTERS))


def _number(column: AvroField, texts: pa.Array, times: TimeRange) -> Iterator[tuple[str, Mask]]:
    if column.type in {"float", "double"}:
        yield "type", _not_decimal(texts, MAX_FLOAT if column.type == "float" else np.inf)
        return
    bounds = (INT_MIN, INT_MAX) if column.type == "int" else (LONG_MIN, LONG_MAX)
    wrong, numbers, valid = _whole_numbers(texts, *bounds)
    yield "type", wrong
    if column.role in {Role.TIMESTAMP, Role.CREATION_TIMESTAMP}:
        yield "timestamp_positive", valid & (numbers <= 0)
        yield "timestamp_unit", valid & ((numbers < SECONDS_FROM) | (numbers >= MILLISECONDS_FROM))
    if column.role is Role.TIMESTAMP:
        yield "timestamp_range", valid & ((numbers < times.first) | (numbers > times.last))


def _whole_numbers(texts: pa.Array, least: int, most: int) -> tuple[Mask, NDArray[np.int64], Mask]:
    """Return which texts are no number within the bounds, the numbers, and which of these are valid."""
    present = _mask(pc.is_valid(texts))
    short = _mask(pc.match_substring_regex(texts, WHOLE_NUMBER))
    numbers = _cast(texts, short, pa.int64())
    valid = short & (numbers >= least) & (numbers <= most)
    # 19 digits may or may not fit into 64 bits; they are rare.
    for row in np.flatnonzero(present & ~short).tolist():
        text = texts[row].as_py()
        digits = text.removeprefix("-")
        if len(digits) <= len(str(LONG_MAX)) and digits.isascii() and digits.isdigit():
            number = int(text)
            if least <= number <= most:
                numbers[row], valid[row] = number, True
    return present & ~valid, numbers, valid


def _not_decimal(texts: pa.Array, most: float) -> Mask:
    present = _mask(pc.is_valid(texts))
    decimal = _mask(pc.match_substring_regex(texts, DECIMAL_NUMBER))
    numbers = np.abs(_cast(texts, decimal, pa.float64()))
    return present & ~(decimal & np.isfinite(numbers) & (numbers <= most))


def _cast(texts: pa.Array, which: Mask, kind: pa.DataType) -> NDArray[np.int64]:
    chosen = pc.if_else(pa.array(which), texts, pa.scalar("0"))
    numbers: NDArray[np.int64] = pc.fill_null(chosen, "0").cast(kind).to_numpy()
    return numbers.copy()


def _any_part_too_long(texts: pa.Array) -> Mask:
    mask = _mask(pc.greater(pc.utf8_length(texts), MAX_TEXT_CHARACTERS))
    for row in np.flatnonzero(mask).tolist():
        parts = texts[row].as_py().split("|")
        mask[row] = max(map(len, parts)) > MAX_TEXT_CHARACTERS
    return mask


def _undecodable(values: pa.Array) -> Mask:
    """Return which values are not UTF-8 or contain a NUL byte, which no text of a warehouse can."""
    mask = _mask(pc.match_substring(values, b"\0"))
    try:
        values.cast(pa.string())
    except pa.ArrowInvalid:
        mask |= np.fromiter((not _decodes(value) for value in values.to_pylist()), np.bool_, len(values))
    return mask


def _decodes(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _mask(values: pa.Array) -> Mask:
    filled: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return filled.copy()
