"""What a contender is given and what it hands back; standard library only, it also runs beside the peers."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Json = dict[str, Any]
OBJECTS_PER_CALL = 75


class Work(Generic[Item]):
    """Hand out (number, item) to any number of threads until the items or the seconds are used up."""

    def __init__(self, items: Sequence[Item], seconds: float) -> None:
        """Start counting the seconds at the first item."""
        self._items = items
        self._seconds = seconds
        self._next = 0
        self._deadline = 0.0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        """Return itself."""
        return self

    def __next__(self) -> tuple[int, Item]:
        """Return the next item that nobody has."""
        with self._lock:
            now = time.monotonic()
            self._deadline = self._deadline or now + self._seconds
            if self._next >= len(self._items) or now >= self._deadline:
                raise StopIteration
            number, self._next = self._next, self._next + 1
        return number, self._items[number]


class Job:
    """The settings of one measurement (`options`, from the harness), its clock and its result.

    The clock is the contender's to start, after its imports and after reading what the experiment says is
    ready beforehand, so that nobody pays for a slow import.
    """

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        self.options = options
        self.figures: Json = {}
        self.errors: Counter[str] = Counter()
        self._wall_seconds = 0.0
        self._cpu_seconds = 0.0
        self._children_before = 0

    @contextmanager
    def clock(self) -> Generator[None, None, None]:
        """Measure the wall and CPU time of a block, its threads and finished child processes included."""
        self._children_before = self._children_before or children_peak_rss_bytes()
        cpu, wall = _cpu_seconds(), time.perf_counter()
        try:
            yield
        finally:
            self._wall_seconds += time.perf_counter() - wall
            self._cpu_seconds += _cpu_seconds() - cpu

    def result(self) -> Json:
        """Return the measurements."""
        return {
            **self.figures,
            "wall_seconds": self._wall_seconds,
            "cpu_seconds": self._cpu_seconds,
            "peak_rss_bytes": self._peak(),
            "errors": dict(self.errors),
        }

    def _peak(self) -> int:
        """Return the most memory this process held, plus the largest child's that ended since the clock began.

        The import of croniter starts `file`, whose figure is that of the process it was forked from.
        """
        children = children_peak_rss_bytes()
        return own_peak_rss_bytes() + (children if children > self._children_before else 0)


class DeliveryJob(Job):
    """Post the users to ``url``; say with `claim` whom the contender holds for delivered.

    ``state`` is the contender's own folder, empty at first; its ``prepare``, where it has one, fills it.
    """

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        super().__init__(options)
        self.url: str = options["url"]
        self.connections: int = options["connections"]
        self.certificate: str | None = options.get("certificate")
        self.users: int = options["users"]
        self.state = Path(options["state"])
        self._seconds: float = options["seconds"]
        self._claimed: list[str] = []
        self._claimed_calls: list[int] = []
        self._peak_rss_bytes = 0

    def bodies(self) -> list[bytes]:
        """Return the prepared request bodies, 75 users each."""
        with Path(self.options["bodies"]).open("rb") as file:
            return [line.rstrip(b"\n") for line in file]

    def batches(self, objects: int = OBJECTS_PER_CALL) -> list[list[Json]]:
        """Return the same users as dicts, in lists of so many.

        Loops with one connection get only as many as they could send in time, so that their memory is their own.
        """
        with Path(self.options["objects"]).open("rb") as file:
            everyone = [json.loads(line) for line in itertools.islice(file, self.options.get("most_users"))]
        return [everyone[start : start + objects] for start in range(0, len(everyone), objects)]

    def work(self, items: Sequence[Item]) -> Work[Item]:
        """Return the items with their numbers until the experiment's seconds are over; share it among threads."""
        return Work(items, self._seconds)

    def claim_call(self, number: int) -> None:
        """Claim all users of the prepared body with this number."""
        self._claimed_calls.append(number)

    def claim(self, objects: Iterable[Json]) -> None:
        """Claim these users."""
        self._claimed.extend(entry["external_id"] for entry in objects)

    def measure_memory(self) -> None:
        """Take the peak of now for the delivery's, without child processes: those are a sandbox."""
        self._peak_rss_bytes = own_peak_rss_bytes()

    def fail(self, error: BaseException | str) -> None:
        """Count an error that the contender reported to its caller."""
        self.errors[error if isinstance(error, str) else type(error).__name__] += 1

    def result(self) -> Json:
        """Return the measurements; the claimed ids lie in a file of their own."""
        measured = super().result()  # before the ids are looked up, which takes memory of its own
        measured["peak_rss_bytes"] = self._peak_rss_bytes or measured["peak_rss_bytes"]
        claimed = self._claimed + [user for batch in self._ids_of_calls() for user in batch]
        Path(self.options["claims"]).write_text("\n".join(claimed))
        return {**measured, "claimed": len(claimed)}

    def _ids_of_calls(self) -> Iterator[list[str]]:
        batches = self.batches() if self._claimed_calls else []
        for number in self._claimed_calls:
            yield [entry["external_id"] for entry in batches[number]]


class OutputJob(Job):
    """Read a batch output. ``state`` is the contender's own folder, filled by its ``prepare``."""

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        super().__init__(options)
        self.users: int = options["users"]
        self.output, self.audience = Path(options["output"]), Path(options["audience"])
        self.catalogue = Path(options["catalogue"])
        self.state, self.out = Path(options["state"]), Path(options["out"])

    def read(self, users: int) -> None:
        """Hand back how many users were read, for contenders that only read."""
        self.figures["read"] = users


class PlanJob(OutputJob):
    """Find whom to send, the lists of ``first`` having been sent."""

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        super().__init__(options)
        self.first, self.first_audience = Path(options["first"]), Path(options["first_audience"])
        self.attribute: str = options["attribute"]

    def found(self, *, changed: int, new: int, gone: int, unchanged: int) -> None:
        """Hand back the plan's counts; the harness compares them with the truth."""
        self.figures["found"] = {"changed": changed, "new": new, "gone": gone, "unchanged": unchanged}


class ListsJob(OutputJob):
    """Build each person's list: the first items of the output that the person did not buy lately, few per brand."""

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        super().__init__(options)
        self.purchases = Path(options["purchases"])

    def built(self, lists: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Hand back the lists by user; the harness compares their digest with the truth."""
        self.figures["found"] = digested(lists)


def digested(lists: Iterable[tuple[str, Sequence[str]]]) -> Json:
    """Count users and items, and digest the lists; the order of the users does not count."""
    users = items = digest = 0
    for user, chosen in lists:
        users, items = users + 1, items + len(chosen)
        text = " ".join([user, *chosen]).encode()
        digest ^= int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big")
    return {"users": users, "items": items, "digest": digest}


class ExportJob(Job):
    """Copy the rows of ``query`` from the warehouse at ``dsn`` to the object ``key`` in S3, as CSV with a header.

    ``environment`` holds Airflow's connections to both. ``state`` is the contender's own folder.
    """

    def __init__(self, options: Json) -> None:
        """Take the harness's options."""
        super().__init__(options)
        self.dsn: str = options["dsn"]
        self.s3_url: str = options["s3_url"]
        self.query: str = options["query"]
        self.key: str = options["key"]
        self.rows: int = options["rows"]
        self.state = Path(options["state"])
        os.environ |= options["environment"]


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def children_peak_rss_bytes() -> int:
    """Return the most memory that a finished child held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1_024


def own_peak_rss_bytes() -> int:
    """Return the most memory this process held.

    Linux's VmHWM belongs to this program alone; ru_maxrss also remembers the process that started it.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                own = int(line.split()[1])
    return own * 1_024
