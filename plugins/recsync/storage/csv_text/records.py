"""Where the records of a block begin and end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUOTE, _LINE_FEED = ord('"'), ord("\n")


def record_ends(block: bytes) -> NDArray[np.int64]:
    """Give the position after each record's line end.

    :param block: whole records, as ``cut_records`` gives them.
    """
    text = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(text == _LINE_FEED)
    if b'"' in block:
        ends = ends[~inside_quotes(text, ends)]
    return ends + 1


def inside_quotes(text: NDArray[np.uint8], positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which positions of a block lie between an opening quote and its closing one."""
    quotes = np.flatnonzero(text == _QUOTE)
    before: NDArray[np.int64] = np.searchsorted(quotes, positions)
    return (before & 1).astype(np.bool_)


def split_records(block: bytes) -> list[bytes]:
    """Give the records of a block, each with its line end."""
    ends = record_ends(block).tolist()
    return [block[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def unix_line_ends(block: bytes) -> bytes:
    """End records with a line feed alone, where the stream says carriage return and line feed."""
    if b"\r" not in block:
        return block
    if b'"' not in block:
        return block.replace(b"\r\n", b"\n")
    return b"".join(
        record[:-2] + b"\n" if record.endswith(b"\r\n") else record for record in split_records(block)
    )
