"""People of the local Braze by any identifier, for tests of deliveries to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests
from kit import Kit

LABEL = "shop"
NAMES = ("external_id", "braze_id", "user_alias", "email", "phone")


class Crowd:
    """People of the local Braze: each is one text by the program's identifier.

    :param people: that text by number.
    """

    def __init__(self, kit: Kit, name: str, count: int = 6) -> None:
        self.kit, self.name = kit, name
        known = [self._given(number) for number in range(count)]
        kit.servers.control("POST", "profiles", json=[{**one, "color": "red"} for one in known])
        by_external_id = {one["external_id"]: one for one in self._profiles() if "external_id" in one}
        self.people = [self._text(number, by_external_id) for number in range(count)]

    def _given(self, number: int) -> dict[str, Any]:
        name = f"{self.kit.name}-{number:06d}"
        if self.name == "user_alias":
            alias = {"alias_name": name, "alias_label": LABEL}
            return {"user_alias": alias, "_update_existing_only": False}
        extra = {"email": f"{name}@Example.com", "phone": self._phone(number)}
        return {"external_id": name, **extra}

    def _phone(self, number: int) -> str:
        return f"+49{abs(hash(self.kit.name)) % 10**7:07d}{number:04d}"

    def _text(self, number: int, by_external_id: Mapping[str, Any]) -> str:
        name = f"{self.kit.name}-{number:06d}"
        return {
            "external_id": name,
            "user_alias": name,
            "email": f"{name}@example.com",
            "phone": self._phone(number),
        }.get(self.name) or str(by_external_id[name]["braze_id"])

    def _profiles(self) -> list[dict[str, Any]]:
        self.kit.servers.control("POST", "flush")
        url = f"{self.kit.servers.braze}/_local/profiles.ndjson?whole=true"
        return [json.loads(line) for line in requests.get(url, timeout=60).text.splitlines()]

    def shown(self) -> dict[str, Any]:
        """Give what Braze shows of the list, by person."""
        found = {}
        for profile in self._profiles():
            aliases = [one["alias_name"] for one in profile["user_aliases"] if one["alias_label"] == LABEL]
            for text in aliases if self.name == "user_alias" else [profile.get(self.name)]:
                if text in self.people:
                    found[text] = profile["custom_attributes"].get("recs")
        return found

    def lists(self, *people: str, shift: int = 0) -> dict[str, list[str]]:
        """Make a list for each of some people."""
        return {who: [f"p-{n + shift}", f"p-{n + shift + 1}"] for n, who in enumerate(people or self.people)}

    def write_program(self, **braze: Any) -> None:
        label = {"alias_label": LABEL} if self.name == "user_alias" else {}
        self.kit.write_program(identifier=self.name, update_existing_only=True, **label, **braze)

    def unknown(self) -> str:
        # The local Braze counts its ids up, so an id near a known one may be another's.
        names = {"braze_id": "f" * 24, "phone": self._phone(9_999)}
        return names.get(self.name, f"nobody-{self.people[0]}")
