"""A program with an e-mail, whose lists can be delivered and previewed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kit import Kit

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
