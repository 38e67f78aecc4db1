"""A program with an e-mail, in the servers of the push tests: what Braze has was delivered, not written by a test."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "push"))

import kit as delivery_kit
from kit import Kit, Servers
from mail_shop import MailShop

os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture(scope="session")
def mail_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Run S3 and the Braze sandbox for these tests."""
    with delivery_kit.servers(tmp_path_factory.mktemp("mails")) as running:
        yield running


@pytest.fixture(scope="session")
def row_content() -> re.Pattern[str]:
    """What the ids and values look like, which no log may tell."""
    return delivery_kit.ROW_CONTENT


@pytest.fixture
def shop(
    mail_servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    no_record_content: list[str],
) -> MailShop:
    """Open a program of its own."""
    for name, value in mail_servers.environment(tmp_path, max_tries=3).items():
        monkeypatch.setenv(name, value)
    made = MailShop(Kit(mail_servers, tmp_path, f"kit-{abs(hash(request.node.nodeid)) % 10**6}"))
    made.write_program()
    return made
