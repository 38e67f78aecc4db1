"""Wait before each call to Braze until its limits allow it: one limiter per endpoint family, shared by a machine."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import math
import os
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from braze_client.pace import Burst, Pace
from braze_client.rate_plan import Family, RatePlan, burst_of

log = logging.getLogger(__name__)

# Unused slots expire after this time. Callers that use theirs in time get more at once.
CREDIT_SECONDS = 0.05
MOST_CREDITS = 8
# Answers are taken to the shared file together, this often at most; refusals at once.
LEARN_EVERY_SECONDS = 0.005
# Waiting longer than this is said in the log, once per wait.
LONG_WAIT_SECONDS = 10.0

# Part of the file name: processes of two versions of recsync do not read each other's numbers.
LAYOUT = 2
_NAMES = [field.name for field in fields(Pace)]
_numbers_of = attrgetter(*_NAMES)
_NUMBERS = struct.Struct(f"<{len(_NAMES)}d")
_SUM = struct.Struct("<I")
_SIZE_BYTES = _NUMBERS.size + _SUM.size
# The lock is held for some 30 microseconds. A holder that is stopped must not stop everybody: after this many
# looks, 20 ms in all, the call goes by what this process knows.
_LOCK_LOOKS = 40
_LOCK_LOOK_SECONDS = 0.0005


class SharedPace:
    """Share the pace of one endpoint family between the processes of a machine.

    The file holds numbers only, under a lock of the operating system, which ends with the process that holds it.
    The numbers are advice, not data: a broken, foreign or unreachable file is replaced or done without, which costs
    some refused calls.

    :param identity: what tells it from others: host, API key and family; only a hash of it reaches the disk.
    :param folder: where the files are; the default is a folder for all users of the machine, or where that is
        not possible one of this user.
    """

    def __init__(self, identity: str, folder: Path | None = None) -> None:
        name = f"pace-{LAYOUT}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"
        self._file = _open(name, folder)
        self._pace = Pace()
        if self._file is None:
            log.warning(
                "The pace towards Braze is not shared with other processes: no folder for it is writable."
            )

    @contextmanager
    def locked(self) -> Generator[Pace]:
        """Take the file lock, read the state, yield it, and write it back."""
        file = self._file
        if file is None or not _lock(file):
            yield self._pace
            return
        try:
            self._pace = _read(file)
            yield self._pace
            _write(file, self._pace)
        finally:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the numbers stay in it for the next process."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _open(name: str, folder: Path | None) -> int | None:
    base = Path(tempfile.gettempdir())
    for each in [folder] if folder else [base / "recsync-pace", base / f"recsync-pace-{os.getuid()}"]:
        with suppress(OSError):
            return _open_in(each, name)
    return None


def _open_in(folder: Path, name: str) -> int:
    with suppress(FileExistsError):
        folder.mkdir()
        # Tasks may run as several users. The sticky bit keeps users from deleting each other's files.
        folder.chmod(0o1777)
    path, flags = folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Without O_CREAT first: Linux forbids it for files of other users in folders that all may write to.
        file = os.open(path, flags)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.close(os.open(path, flags | os.O_CREAT | os.O_EXCL))
            path.chmod(0o666)
        file = os.open(path, flags)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(file)
        raise OSError(f"{path} is no plain file")
    return file


def _lock(file: int) -> bool:
    for _ in range(_LOCK_LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_LOCK_LOOK_SECONDS)
        except OSError:
            break
    return False


def _read(file: int) -> Pace:
    with suppress(OSError):
        raw = os.pread(file, _SIZE_BYTES + 1, 0)
        if len(raw) == _SIZE_BYTES and raw[_NUMBERS.size :] == _SUM.pack(zlib.crc32(raw[: _NUMBERS.size])):
            numbers = _NUMBERS.unpack_from(raw)
            if all(map(math.isfinite, numbers)):
                return Pace(*numbers)
    return Pace()


def _write(file: int, pace: Pace) -> None:
    numbers = _NUMBERS.pack(*_numbers_of(pace))
    with suppress(OSError):  # a full disk: the next reader uses the old state or none
        os.pwrite(file, numbers + _SUM.pack(zlib.crc32(numbers)), 0)
        if os.fstat(file).st_size != _SIZE_BYTES:
            os.ftruncate(file, _SIZE_BYTES)


class Limiter:
    """Let calls start at the pace that Braze allows.

    Tasks are served in the order they come. Only the first in line looks at the shared file and sleeps, so a
    thousand waiting tasks cost no more than one; and it takes one slot at a time, so that little is under way
    when a refusal closes the family.

    :param pace: the shared state of the endpoint family.
    :param burst: what the contract allows in a short window.
    :param name: for the log.
    """

    def __init__(
        self,
        pace: SharedPace,
        burst: Burst,
        *,
        name: str,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace = pace
        self._burst = burst
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._line = asyncio.Lock()
        self._waiting = 0
        self._next_ticket = 0
        self._credits = 0
        self._credits_until = 0.0
        self._most = 1
        self._heard: list[tuple[int, int, Mapping[str, str], float]] = []
        self._heard_since = 0.0
        self._knows = False

    async def acquire(self) -> int:
        """Wait until a call may start; return its ticket."""
        if not self._waiting and self._credits and self._clock() < self._credits_until:
            return self._take()
        self._waiting += 1
        try:
            async with self._line:
                if not self._credits or self._clock() >= self._credits_until:
                    await self._fetch()
                return self._take()
        finally:
            self._waiting -= 1

    def learn(self, ticket: int, status: int, headers: Mapping[str, str]) -> None:
        """Take in the answer to a ticket; header names in lower case."""
        now = self._clock()
        if not self._heard:
            self._heard_since = now
        self._heard.append((ticket, status, headers, now))
        if status == 429:
            self._credits = 0
        if status == 429 or not self._knows or now - self._heard_since >= LEARN_EVERY_SECONDS:
            with self._pace.locked() as pace:
                self._tell(pace)

    def _tell(self, pace: Pace) -> None:
        for ticket, status, headers, at in self._heard:
            pace.learn(ticket, status, headers, at, self._burst)
        self._heard.clear()

    def lost(self) -> None:
        """Note that a call got no answer."""
        with self._pace.locked() as pace:
            self._tell(pace)
            pace.lost()

    def close(self) -> None:
        """Close the shared file."""
        with self._pace.locked() as pace:
            self._tell(pace)
        self._pace.close()

    def _take(self) -> int:
        self._credits -= 1
        self._next_ticket += 1
        return self._next_ticket - 1

    async def _fetch(self) -> None:
        since, said = self._clock(), False
        used_up = not self._credits and since < self._credits_until
        self._most = min(2 * self._most, MOST_CREDITS) if used_up else 1
        while True:
            now = self._clock()
            with self._pace.locked() as pace:
                self._tell(pace)
                grant = pace.reserve(now, max(self._most, self._waiting), self._burst)
                self._knows = bool(pace.known_since)
            if not said and now - since > LONG_WAIT_SECONDS:
                said = True
                log.info("Braze: %s waits until its rate limit allows more calls", self._name)
            if grant.at > now:
                await self._sleep(grant.at - now)
                if grant.calls:
                    await self._wait_out_a_refusal()
            if grant.calls:
                break
        self._next_ticket, self._credits = grant.first, grant.calls
        self._credits_until = self._clock() + CREDIT_SECONDS

    async def _wait_out_a_refusal(self) -> None:
        while True:
            now = self._clock()
            with self._pace.locked() as pace:
                closed_seconds = pace.closed_seconds(now)
            if closed_seconds <= 0:
                return
            await self._sleep(closed_seconds)


class Limiters:
    """Open the limiters of one workspace as they are needed.

    :param identity: host and API key.
    :param folder: of the shared files, see :class:`SharedPace`.
    """

    def __init__(
        self,
        identity: str,
        plan: RatePlan,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._open: dict[Family, Limiter] = {}

    def of(self, family: Family) -> Limiter:
        """Return the limiter of a family."""
        if family not in self._open:
            pace = SharedPace(f"{self._identity} {family.value}", self._folder)
            self._open[family] = Limiter(
                pace, burst_of(family, self._plan), name=family.value, clock=self._clock, sleep=self._sleep
            )
        return self._open[family]

    def close(self) -> None:
        """Close the shared files."""
        while self._open:
            self._open.popitem()[1].close()
