"""Fixtures of deliveries: S3 and the Braze sandbox for all, a program for each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import kit as delivery_kit
import pytest
from kit import Kit, Servers


@pytest.fixture(scope="session")
def delivery_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Run the servers for the whole session."""
    with delivery_kit.servers(tmp_path_factory.mktemp("delivery")) as running:
        yield running


@pytest.fixture(scope="session")
def row_content() -> re.Pattern[str]:
    """What the ids and values of the deliveries look like."""
    return delivery_kit.ROW_CONTENT


@pytest.fixture
def kit(
    delivery_servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    no_record_content: list[str],  # no delivery logs an id or a value
) -> Iterator[Kit]:
    """Give a program of its own, and a Braze without faults or people."""
    # Fewer tries than a person would set: failures that never end should not take minutes.
    environment = delivery_servers.environment(tmp_path, max_tries=3)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Kit(delivery_servers, tmp_path, f"kit-{abs(hash(request.node.nodeid)) % 10**6}")
    made.write_program()
    delivery_servers.control("POST", "meter/reset")
    yield made
    delivery_servers.control("DELETE", "faults")


os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
