"""A program with an e-mail, in the servers of the push tests: what Braze has was delivered, not written by a test."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "push"))

import kit as delivery_kit
from kit import Kit, Servers

os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
FIELDS = {
    "name": "string", "brand": "string", "price": "number", "former_price": "number", "url": "string",
    "image": "string",
}  # fmt: skip


def item(number: int, **changed: Any) -> dict[str, Any]:
    """Make an item; every third one is reduced."""
    price = round(0.99 + 37.25 * number, 2)
    return {
        "name": f"Product {number} & more",
        "brand": f"Brand {number % 7}",
        "price": price,
        "former_price": round(price * 1.25, 2) if number % 3 == 0 else None,
        "url": f"https://shop.example/p/{number}?ref=a#top",
        "image": f"https://shop.example/p/{number}.png",
        **changed,
    }


ITEMS = {f"p-{n}": item(n) for n in range(60)}


@dataclass(frozen=True)
class MailShop:
    """A program whose lists can be delivered and previewed."""

    kit: Kit

    def write_program(self, email: dict[str, Any] | None = None, **braze: Any) -> None:
        """Write the program file with an ``email`` section."""
        self.kit.write_program(**{"catalog": {"name": f"{self.kit.name}-items", "fields": FIELDS}, **braze})
        path = self.kit.include / "programs" / f"{self.kit.name}.yaml"
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "email": email or {"currency": "USD"}}))

    def deliver(self, lists: Any, run: str = "1", **published: Any) -> None:
        """Publish lists and push them."""
        self.kit.publish(run, lists, **{"items": ITEMS, **published})
        assert self.kit.push(run, allow_removals=True).outcomes["sent"]
        self.kit.servers.control("POST", "flush")

    def preview(self, *people: str, **given: Any) -> Any:
        """Render mails without loading pictures."""
        from recsync.preview.mails import preview

        return preview(self.kit.name, people, **{"seconds": 600, "load_images": False, **given})


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
