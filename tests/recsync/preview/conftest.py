"""A program with an e-mail, in the servers of the push tests: what Braze has was delivered, not written by a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "push"))

from kit import Kit
from kit_fixtures import delivery_servers, kit, row_content  # ruff: ignore[unused-import]
from mail_shop import MailShop


@pytest.fixture
def shop(kit: Kit) -> MailShop:  # ruff: ignore[redefined-while-unused] - the fixture
    """Give a program of its own."""
    made = MailShop(kit)
    made.write_program()
    return made
