"""Read the lines of a batch output by their places, where all of them look as Amazon Personalize usually writes them.

    {"input":{"userId":"4638"},"output":{"recommendedItems":["63992","115149"],"scores":[0.015,0.013]},"error":null}

Nothing is parsed here: the quotes of such lines stand at known places. Everything that is used is checked byte by byte;
what stands between the brackets of ``scores`` is not looked at. Any other line leaves its block to a JSON parser.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BEGIN = '{{"input":{{"{key}":"'
_MIDDLE = b'"},"output":{"recommendedItems":["'
_SCORES = b'"],"scores":['
_END = b']},"error":null}'
_NEWLINE, _QUOTE, _COMMA = b'\n",'
# Quotes of a line: those of the five keys and of the user id before the items, those of two keys after them.
_BEFORE, _AFTER = 10, 4

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


def read_usual(block: bytes, key: str = "userId") -> tuple[pa.StringArray, pa.ListArray] | None:
    """Read user ids and item ids; None when any line is not of the usual form.

    :param block: whole lines, each with its line end.
    :param key: the only member of ``input``.
    """
    begin = _BEGIN.format(key=key).encode()
    if b"\\" in block or not block.endswith(b"\n"):
        return None
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    quotes = np.flatnonzero(data == _QUOTE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    # The quotes of line n are quotes[first[n]:first[n + 1]].
    first = np.concatenate([np.searchsorted(quotes, starts), [len(quotes)]])
    counts = np.diff(first) - _BEFORE - _AFTER
    if counts.min(initial=0) < 0 or (counts < 2).any() or (counts % 2).any():
        return None
    user_end, item_begin = quotes[first[:-1] + 5], quotes[first[:-1] + _BEFORE]
    item_end = quotes[first[1:] - _AFTER - 1]
    if not (
        _stands(data, starts, begin)
        and _stands(data, user_end, _MIDDLE)
        and (user_end > starts + len(begin)).all()
        and np.array_equal(item_begin, user_end + len(_MIDDLE) - 1)
        and _stands(data, item_end, _SCORES)
        and _stands(data, ends - len(_END), _END)
    ):
        return None
    # Without the quotes of the keys, the rest is one pair per item.
    inner = np.ones(len(quotes), np.bool_)
    for offset in range(_BEFORE):
        inner[first[:-1] + offset] = False
    for offset in range(_AFTER):
        inner[first[1:] - 1 - offset] = False
    opening, closing = quotes[inner].reshape(-1, 2).T
    lists = np.concatenate([[0], np.cumsum(counts // 2)])
    joined = np.ones(len(opening), np.bool_)
    joined[lists[:-1]] = False
    before = closing[:-1][joined[1:]]
    if not ((opening[joined] == before + 2).all() and (data[before + 1] == _COMMA).all()):
        return None
    users = _texts(data, starts + len(begin), user_end)
    items = _texts(data, opening + 1, closing)
    if not block.isascii():
        try:
            users.validate(full=True)
            items.validate(full=True)
        except pa.ArrowInvalid:
            return None
    return users, pa.ListArray.from_arrays(pa.array(lists.astype(np.int32)), items)


def _stands(data: Bytes, places: Places, text: bytes) -> bool:
    """Say whether a text stands at each of the places."""
    if int(places[0]) < 0 or int(places[-1]) + len(text) > len(data):
        return False
    wanted = np.frombuffer(text, np.uint8)
    return bool((np.lib.stride_tricks.sliding_window_view(data, len(text))[places] == wanted).all())


def _texts(data: Bytes, starts: Places, ends: Places) -> pa.StringArray:
    """Copy the texts between places."""
    lengths = ends - starts
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat((starts - offsets[:-1]).astype(np.int32), lengths)
    places += np.arange(len(places), dtype=np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data.take(places)))
