from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.errors import PortTakenError, StackError
from stack.ports import DEFAULT_PORTS, PortBook, is_free, variable


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_listener_makes_a_port_taken(taken: int) -> None:
    assert not is_free(taken)


def test_a_port_asked_for_is_used_and_remembered(tmp_path: Path, free_tcp_port: int) -> None:
    book = PortBook(tmp_path, {variable("s3"): str(free_tcp_port)})
    assert book.choose("s3", None, print) == free_tcp_port
    assert PortBook(tmp_path, {}).get("s3") == free_tcp_port


def test_a_taken_port_that_was_asked_for_is_an_error_naming_port_and_variable(
    tmp_path: Path, taken: int
) -> None:
    with pytest.raises(PortTakenError, match=f"port {taken} .*STACK_S3_PORT"):
        PortBook(tmp_path, {"STACK_S3_PORT": str(taken)}).choose("s3", None, print)


def test_a_taken_default_gives_way_to_the_next_free_port(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEFAULT_PORTS, "s3", taken)
    said: list[str] = []
    chosen = PortBook(tmp_path, {}).choose("s3", None, said.append)
    assert taken < chosen < taken + 100
    assert str(taken) in said[0]
    assert "STACK_S3_PORT" in said[0]


def test_a_running_part_keeps_its_port(tmp_path: Path, taken: int) -> None:
    assert PortBook(tmp_path, {}).choose("s3", taken, print) == taken
    with pytest.raises(StackError, match="Stop the stack first"):
        PortBook(tmp_path, {"STACK_S3_PORT": str(taken - 1)}).choose("s3", taken, print)


@pytest.mark.parametrize("text", ["x", "0", "70000", "-1"])
def test_nonsense_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackError, match="not a port number"):
        PortBook(tmp_path, {"STACK_S3_PORT": text}).choose("s3", None, print)
