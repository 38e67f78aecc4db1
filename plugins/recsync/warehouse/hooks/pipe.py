"""Read in one thread what another writes: an error of the writer reaches the reader, never a clean end instead."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from recsync.storage.byte_stream import ByteStream

# Written to and read from in C, so that a row costs a copy and no step of Python.
_BUFFER_BYTES = 1 << 20
# Cancelling a query takes one round trip; after this long the connection itself is cut.
_PATIENCE_SECONDS = 15.0


@contextmanager
def piped(
    write: Callable[[BinaryIO], None], *, cancel: Callable[[], None], cut: Callable[[], None] | None = None
) -> Generator[ByteStream]:
    """Give what ``write`` writes as a stream.

    :param write: runs in a thread of its own; what it raises is raised by ``read`` once all that it wrote is read.
    :param cancel: makes ``write`` stop; called when the block is left before the end.
    :param cut: makes it stop when ``cancel`` did not.
    """
    stream = _Pipe(write)
    try:
        yield stream
    finally:
        stream.close(cancel, cut)


class _Pipe:
    def __init__(self, write: Callable[[BinaryIO], None]) -> None:
        read_fd, write_fd = os.pipe()
        _widen(write_fd)
        self._reader = open(read_fd, "rb", buffering=_BUFFER_BYTES)  # ruff: ignore[builtin-open, open-file-with-context-handler] - close() closes it
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(write, write_fd), daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        if not data and size:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return data

    def close(self, cancel: Callable[[], None], cut: Callable[[], None] | None) -> None:
        if self._thread.is_alive():
            # Cancelled first: a writer that meets a closed pipe would fetch the rest of the rows to throw them away.
            cancel()
            self._reader.close()
            self._thread.join(_PATIENCE_SECONDS)
            if self._thread.is_alive() and cut is not None:
                cut()
                self._thread.join(_PATIENCE_SECONDS)
        self._reader.close()

    def _run(self, write: Callable[[BinaryIO], None], write_fd: int) -> None:
        try:
            with open(write_fd, "wb", buffering=_BUFFER_BYTES) as file:
                write(file)
        except BaseException as error:  # ruff: ignore[blind-except] - whatever it is, the reader raises it
            self._error = error


def _widen(descriptor: int) -> None:
    """Let the pipe hold as much as one write gives; the default of 64 KiB makes the threads take turns all the time."""
    with suppress(OSError, AttributeError):
        # Linux only, and a user may own a limited number of wide pipes: pipe(7).
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _BUFFER_BYTES)
