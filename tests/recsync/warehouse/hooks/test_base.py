from __future__ import annotations

import threading
from typing import BinaryIO

import pytest

from recsync.warehouse.hooks import base
from recsync.warehouse.hooks.base import piped


def nothing() -> None:
    """Cancel nothing."""


def test_an_error_comes_after_the_last_good_bytes() -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"good")
        raise LookupError("bad")

    with piped(write, cancel=nothing) as stream:
        assert stream.read(100) == b"good"
        for _ in range(2):
            with pytest.raises(LookupError, match="bad"):
                stream.read(100)


def test_what_is_larger_than_the_pipe_comes_whole() -> None:
    data = bytes(range(256)) * 40_000
    with piped(lambda file: file.write(data) and None, cancel=nothing) as stream:
        pieces = list(iter(lambda: stream.read(3_000_000), b""))
    assert b"".join(pieces) == data


def test_who_reads_to_the_end_cancels_nothing() -> None:
    cancelled: list[int] = []
    with piped(lambda file: file.write(b"x") and None, cancel=lambda: cancelled.append(1)) as stream:
        assert (stream.read(5), stream.read(5)) == (b"x", b"")
    assert cancelled == []


def test_a_writer_that_ignores_the_cancelling_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PATIENCE_SECONDS", 0.05)
    waiting, ended = threading.Event(), threading.Event()

    def write(file: BinaryIO) -> None:
        waiting.wait()
        ended.set()

    with piped(write, cancel=nothing, cut=waiting.set):
        pass
    assert ended.wait(10)
