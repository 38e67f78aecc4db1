"""Records that are not one row of the right number of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsync.export.checks.row_rules import Broken
from recsync.storage.csv_text.records import inside_quotes

_COMMA, _RETURN, _QUOTE = ord(","), ord("\r"), ord('"')
_ENDS_OF_CELLS = (ord(","), ord("\n"))


def misshapen(records: NDArray[np.object_], cells: int) -> list[Broken]:
    """Find the records with more or fewer cells, and those with a carriage return or a quote where none may be.

    :param records: each with its line end.
    """
    text = b"".join(records.tolist())
    lengths = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    ends = np.cumsum(lengths)
    wrong = np.bincount(_records_of(text, _COMMA, ends), minlength=len(records)) != cells - 1
    wrong |= np.bincount(_records_of(text, _RETURN, ends), minlength=len(records)) > 0
    wrong[np.searchsorted(ends, stray_quotes(text), side="right")] = True
    rows = np.flatnonzero(wrong)
    return [Broken("cells", "", rows)] if len(rows) else []


def stray_quotes(block: bytes) -> NDArray[np.int64]:
    """Find the quotes that neither open a cell, nor close one, nor stand for one quote inside: everybody reads these
    differently."""
    text = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    doubled = closing[: len(opening) - 1] + 1 == opening[1:]
    begins = (opening == 0) | np.isin(text[opening - 1], _ENDS_OF_CELLS)
    begins[1:] |= doubled
    ends = np.isin(text[np.minimum(closing + 1, len(text) - 1)], _ENDS_OF_CELLS)
    ends[: len(doubled)] |= doubled
    return np.concatenate([opening[~begins], closing[~ends]])


def _records_of(text: bytes, character: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the record of every such character outside quotes."""
    codes = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(codes == character)
    if b'"' in text:
        places = places[~inside_quotes(codes, places)]
    records: NDArray[np.int64] = np.searchsorted(ends, places, side="right")
    return records
