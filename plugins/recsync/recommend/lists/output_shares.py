"""Share the objects of a batch output among tasks by bytes, so that one large object is work for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recsync.storage.csv_text import ByteStream


@dataclass(frozen=True)
class LineRange:
    """The lines of an object that begin between two of its bytes.

    :param end: behind the last byte.
    """

    key: str
    start: int
    end: int


def share_of(objects: Sequence[tuple[str, int]], task: int, tasks: int) -> Iterator[LineRange]:
    """Yield what one of several tasks reads; the shares of all tasks in their order are the objects in theirs.

    :param objects: keys and sizes in bytes. A compressed object cannot be divided.
    """
    total = sum(size for _, size in objects)
    first, last = total * task // tasks, total * (task + 1) // tasks
    begin = 0
    for key, size in objects:
        start, end = max(first - begin, 0), min(last - begin, size)
        if key.endswith(".gz"):
            start, end = 0, size if first <= begin < last else 0
        if start < end:
            yield LineRange(key, start, end)
        begin += size


class LineStream:
    """The lines of an object that begin in a range.

    :param stream: the object from the byte before the range, which says whether a line begins with it; for a range
        at the beginning of the object from its first byte.
    """

    def __init__(self, stream: ByteStream, inside: LineRange) -> None:
        self._stream = stream
        self._skips = inside.start > 0
        self._place, self._end = max(0, inside.start - 1), inside.end

    def read(self, size: int, /) -> bytes:
        """Read some bytes; none at the end."""
        while not self._is_done and (data := self._stream.read(size)):
            place, self._place = self._place, self._place + len(data)
            begin = 0
            if self._skips:
                begin = data.find(b"\n") + 1
                if not begin:
                    continue
                self._skips = False
                # The first line after the range's begin may begin behind its end.
                if place + begin >= self._end:
                    self._end = 0
                    break
            if self._place >= self._end:
                last = data.find(b"\n", max(begin, self._end - 1 - place))
                if last >= 0:
                    self._end = 0
                    return data[begin : last + 1]
            if data[begin:]:
                return data[begin:]
        return b""

    @property
    def _is_done(self) -> bool:
        # The place of a range that was read is never before 0.
        return self._end == 0
