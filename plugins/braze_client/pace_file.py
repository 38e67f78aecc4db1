"""Share the pace of an endpoint family between the processes of one machine, through a file."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import math
import os
import platform
import random
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from braze_client.pace import SLOT_SECONDS, Pace

log = logging.getLogger(__name__)

T = TypeVar("T")
Change = Callable[[Pace, float], T]
"""Change the state at a time of its own clock."""

# Part of the name: processes of two versions of recsync do not read each other's numbers.
LAYOUT = 3
_NAMES = [field.name for field in fields(Pace)]
_numbers_of = attrgetter(*_NAMES)
_NUMBERS = struct.Struct(f"<{len(_NAMES)}d")
_SUM = struct.Struct("<I")
_SIZE_BYTES = _NUMBERS.size + _SUM.size
# The lock is held for some 30 microseconds. A holder that is stopped must not stop everybody: after this many
# looks, 20 ms in all, the call goes by what this process knows.
_LOCK_LOOKS = 40
_LOCK_LOOK_SECONDS = 0.0005


def name_of(identity: str) -> str:
    """Name the state of an endpoint family, for a file or a key of Redis.

    :param identity: what tells it from others: host, API key and family; only a hash of it is in the name.
    """
    return f"pace-{LAYOUT}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"


def packed(pace: Pace) -> bytes:
    """Return the state as bytes."""
    numbers = _NUMBERS.pack(*_numbers_of(pace))
    return numbers + _SUM.pack(zlib.crc32(numbers))


def unpacked(raw: bytes) -> Pace | None:
    """Return the state that these bytes hold; None when they hold none."""
    if len(raw) == _SIZE_BYTES and raw[_NUMBERS.size :] == _SUM.pack(zlib.crc32(raw[: _NUMBERS.size])):
        numbers = _NUMBERS.unpack_from(raw)
        if all(map(math.isfinite, numbers)):
            return Pace(*numbers)
    return None


def new_state() -> Pace:
    """Return an empty state with a new series."""
    return Pace(series=random.random())  # ruff: ignore[suspicious-non-cryptographic-random-usage] - told apart, not kept secret


class FilePace:
    """Share the pace of one endpoint family between the processes of a machine.

    The file holds numbers only, under a lock of the operating system, which ends with the process that holds it.
    The numbers are advice, not data: a broken, foreign or unreachable file is replaced or done without, which costs
    some refused calls.

    :param identity: see :func:`name_of`.
    :param folder: where the files are; the default is a folder for all users of the machine, or where that is
        not possible one of this user.
    """

    slot_seconds = SLOT_SECONDS
    # Shortest time between two updates with answers; refusals are reported immediately.
    learn_every_seconds = 0.02
    # Maximum age of the last read of the state when a call starts.
    fresh_seconds = 0.0

    def __init__(
        self, identity: str, folder: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = _open(name_of(identity), folder)
        self._pace = new_state()
        self._clock = clock
        if self._file is None:
            log.warning(
                "The pace towards Braze is not shared with other processes: no folder is writable. Set TMPDIR to one."
            )

    @property
    def machine(self) -> str:
        """Name all who share this file, by a hash."""
        found = None if self._file is None else os.fstat(self._file)
        shared = f"{platform.node()} {found.st_dev} {found.st_ino}" if found else str(self._pace.series)
        return hashlib.sha256(shared.encode()).hexdigest()[:16]

    def now(self) -> float:
        """Return the time of the state's clock."""
        return self._clock()

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

    async def change(self, change: Change[T]) -> T:
        """Change the newest state."""
        with self.locked() as pace:
            return change(pace, self._clock())

    def post(self, take: Callable[[], Change[None]]) -> None:
        """Change the state without waiting; ``take`` gives the change when its turn has come."""
        with self.locked() as pace:
            take()(pace, self._clock())

    async def close(self) -> None:
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
    raw = b""
    with suppress(OSError):
        raw = os.pread(file, _SIZE_BYTES + 1, 0)
    return unpacked(raw) or new_state()


def _write(file: int, pace: Pace) -> None:
    with suppress(OSError):  # a full disk: the next reader uses the old state or none
        os.pwrite(file, packed(pace), 0)
        if os.fstat(file).st_size != _SIZE_BYTES:
            os.ftruncate(file, _SIZE_BYTES)
