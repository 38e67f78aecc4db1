"""Rows per hour, whatever the number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HOUR_SECONDS, _DAY_SECONDS, _WEEK_SECONDS = 3_600, 86_400, 604_800
# 1970-01-05 was the first Monday.
_MONDAY_SECONDS = 4 * _DAY_SECONDS
MAX_BUCKETS = 400
# Hours are counted in an array as long as it need not be longer than this (114 years, 8 MB).
_MAX_SPAN_HOURS = 1_000_000


class Volume:
    """How many rows fall into each hour, and the oldest and newest of them."""

    def __init__(self) -> None:
        self._first_hour = 0
        self._rows = np.zeros(0, dtype=np.int64)
        self._elsewhere: Counter[int] = Counter()
        self.oldest: int | None = None
        self.newest: int | None = None

    def add(self, times: NDArray[np.int64]) -> None:
        """Take the epoch seconds of some rows."""
        first, last = int(times.min()), int(times.max())
        self.oldest = first if self.oldest is None else min(first, self.oldest)
        self.newest = last if self.newest is None else max(last, self.newest)
        hours = times // _HOUR_SECONDS
        if self._make_room(first // _HOUR_SECONDS, last // _HOUR_SECONDS + 1):
            counts = np.bincount(hours - first // _HOUR_SECONDS)
            begin = first // _HOUR_SECONDS - self._first_hour
            self._rows[begin : begin + len(counts)] += counts
        else:
            self._elsewhere.update(hours.tolist())

    def to_json(self) -> dict[str, Any]:
        """Give at most about 400 buckets: hours, else days, else weeks, else as many weeks as it takes."""
        if self.oldest is None or self.newest is None:
            return {"bucket_seconds": _HOUR_SECONDS, "buckets": []}
        span = self.newest - self.oldest
        sizes = (_HOUR_SECONDS, _DAY_SECONDS, _WEEK_SECONDS)
        size = next((s for s in sizes if span // s < MAX_BUCKETS), None)
        if size is None:
            size = _WEEK_SECONDS * (span // (_WEEK_SECONDS * MAX_BUCKETS) + 1)
        shift = _MONDAY_SECONDS if size >= _WEEK_SECONDS else 0
        buckets: Counter[int] = Counter()
        for hour, rows in self._hours():
            start = hour * _HOUR_SECONDS - shift
            buckets[start - start % size + shift] += rows
        return {
            "bucket_seconds": size,
            "buckets": [{"start": start, "rows": buckets[start]} for start in sorted(buckets)],
        }

    def _make_room(self, first: int, end: int) -> bool:
        """Let the array reach from one hour to another; False when it would be too long."""
        if not len(self._rows):
            self._first_hour = first
        begin = min(first, self._first_hour)
        stop = max(end, self._first_hour + len(self._rows))
        if stop - begin > _MAX_SPAN_HOURS:
            return False
        if stop - begin > len(self._rows):
            before = np.zeros(self._first_hour - begin, dtype=np.int64)
            after = np.zeros(stop - self._first_hour - len(self._rows), dtype=np.int64)
            self._rows = np.concatenate([before, self._rows, after])
            self._first_hour = begin
        return True

    def _hours(self) -> Iterator[tuple[int, int]]:
        places = np.flatnonzero(self._rows)
        yield from zip((places + self._first_hour).tolist(), self._rows[places].tolist(), strict=True)
        yield from self._elsewhere.items()
