from __future__ import annotations

import datetime as dt
import threading
import uuid
from decimal import Decimal
from typing import Any, BinaryIO

import pytest

from recsync.errors import FatalError
from recsync.warehouse.hooks import base
from recsync.warehouse.hooks.base import csv_blocks, piped


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
    monkeypatch.setattr(base, "_PATIENCE_SECONDS", 0.05)
    waiting, ended = threading.Event(), threading.Event()

    def write(file: BinaryIO) -> None:
        waiting.wait()
        ended.set()

    with piped(write, cancel=nothing, cut=waiting.set):
        pass
    assert ended.wait(10)


COLUMNS = ["A", "B"]


def write(*row: Any) -> bytes:
    return b"".join(csv_blocks([[row]], COLUMNS, name="shop/users.sql"))


def test_values_are_written_as_people_write_them() -> None:
    assert write(1, 2.5) == b"1,2.5\n"
    assert write(Decimal("1E+3"), Decimal("0.10")) == b"1000,0.10\n"
    assert write(True, None) == b"True,\n"
    assert write(1e22, uuid.UUID(int=1)) == b"1e+22,00000000-0000-0000-0000-000000000001\n"


@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), dt.time(1), dt.timedelta(1)])
def test_times_are_not_guessed_at(value: Any) -> None:
    with pytest.raises(
        FatalError, match=r"shop/users.sql: column B holds times .*\{\{ epoch\('column'\) \}\}"
    ):
        write("u1", value)


def test_a_list_is_joined_as_several_categories_are() -> None:
    assert write(["Action", "Sci, Fi"], [1, 2]) == b'"Action|Sci, Fi",1|2\n'


@pytest.mark.parametrize("value", [b"bytes", [["a"]], {"a": 1}])
def test_what_is_no_text_and_no_number_is_named(value: Any) -> None:
    with pytest.raises(FatalError, match=r"column A holds values of type .*; cast it to text"):
        write(value, 1)


def test_a_text_that_is_no_unicode_is_fatal() -> None:
    with pytest.raises(FatalError, match="no Unicode"):
        write("\ud800", 1)
