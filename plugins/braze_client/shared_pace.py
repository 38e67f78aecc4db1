"""Keep one :class:`Pace` in a small file that all processes of this machine share.

The file holds numbers only, under a lock of the operating system, which ends with the process that holds it. It is
advice, not data: a broken, foreign or unreachable file is replaced or done without, and costs some refused calls.
"""

from __future__ import annotations

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
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from braze_client.pace import Pace
from braze_client.window import LearnedWindow

log = logging.getLogger(__name__)

# Part of the file name: processes of two versions of recsync do not read each other's numbers.
LAYOUT = 1
_OWN = [field.name for field in fields(Pace) if field.name != "window"]
_NAMES = _OWN + [f"window.{field.name}" for field in fields(LearnedWindow)]
_numbers_of = attrgetter(*_NAMES)
_NUMBERS = struct.Struct(f"<{len(_NAMES)}d")
_SUM = struct.Struct("<I")
_SIZE_BYTES = _NUMBERS.size + _SUM.size
# The lock is held for some 30 microseconds. A holder that is stopped must not stop everybody: after this many
# looks, 20 ms in all, the call goes by what this process knows.
_LOCK_LOOKS = 40
_LOCK_LOOK_SECONDS = 0.0005


class SharedPace:
    """Open the pace of one workspace and endpoint family.

    :param identity: what tells it from others: host, API key and family; only a hash of it reaches the disk.
    :param folder: where the files are; the default is a folder for all users of the machine, or where that is
        not possible one of this user.
    """

    def __init__(self, identity: str, folder: Path | None = None) -> None:
        name = f"pace-{LAYOUT}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"
        self._file = _open(name, [folder] if folder else _usual_folders())
        self._pace = Pace()
        if self._file is None:
            log.warning(
                "The pace towards Braze is not shared with other processes: no folder for it is writable."
            )

    @contextmanager
    def locked(self) -> Generator[Pace]:
        """Hold the lock, yield the numbers as they are now and keep what became of them."""
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


def _usual_folders() -> list[Path]:
    base = Path(tempfile.gettempdir())
    return [base / "recsync-pace", base / f"recsync-pace-{os.getuid()}"]


def _open(name: str, folders: Sequence[Path]) -> int | None:
    for folder in folders:
        with suppress(OSError):
            return _open_in(folder, name)
    return None


def _open_in(folder: Path, name: str) -> int:
    with suppress(FileExistsError):
        folder.mkdir()
        # Tasks may run as several users; only numbers are in there, and nobody may delete another's file.
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
        except BlockingIOError:
            time.sleep(_LOCK_LOOK_SECONDS)
        except OSError:
            return False
        else:
            return True
    return False


def _read(file: int) -> Pace:
    with suppress(OSError):
        raw = os.pread(file, _SIZE_BYTES + 1, 0)
        if len(raw) == _SIZE_BYTES and _SUM.unpack_from(raw, _NUMBERS.size)[0] == zlib.crc32(
            raw[: -_SUM.size]
        ):
            numbers = _NUMBERS.unpack_from(raw)
            if all(map(math.isfinite, numbers)):
                pace = Pace(*numbers[: len(_OWN)])
                pace.window = LearnedWindow(*numbers[len(_OWN) :])
                return pace
    return Pace()


def _write(file: int, pace: Pace) -> None:
    numbers = _NUMBERS.pack(*_numbers_of(pace))
    with suppress(OSError):  # a full disk: the next reader takes what is there, or nothing
        os.pwrite(file, numbers + _SUM.pack(zlib.crc32(numbers)), 0)
        if os.fstat(file).st_size != _SIZE_BYTES:
            os.ftruncate(file, _SIZE_BYTES)
