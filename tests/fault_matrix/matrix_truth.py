"""What Braze should show, computed in plain Python from what was published; and what it shows instead."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.parquet as pq
import requests
from kit import Kit

from recsync.push.store import Deliveries

Lists = dict[str, list[str]]
_ITEMS = 30
_NOT_WRITTEN = {"rejected", "dead_lettered", "deferred", "kept"}


@dataclass(frozen=True)
class World:
    """Three versions of one program's recommendations.

    The first gives everybody a list. In the second one in fifty has left, one in fifty has an empty list, 60 % have
    another list and some are new. The third is the first again.
    """

    name: str
    people: int

    @cached_property
    def first(self) -> Lists:
        """Lists of the first version and of the third."""
        return {
            who: _list(n, "a" if _is_changed(n) else "s") for n, who in enumerate(self._names(self.people))
        }

    @cached_property
    def second(self) -> Lists:
        """Lists of the second version; an empty one is somebody without recommendations."""
        lists: Lists = {}
        for n, who in enumerate(self._names(self.people + self.people // 50)):
            if n % 50 == 3:
                continue
            lists[who] = [] if n % 50 == 4 else _list(n, "b" if _is_changed(n) or n >= self.people else "s")
        return lists

    @property
    def changed(self) -> list[str]:
        """Name those to whom the second version gives another list."""
        return [who for who, items in self.second.items() if items and items != self.first.get(who)]

    def items(self, version: int) -> dict[str, dict[str, Any]]:
        """Give the catalogue: the second version has other prices, some new items, and lacks some old ones."""
        kinds = "sb" if version == 2 else "sa"
        price = 0.0 if version == 2 else 0.5
        names = [f"{kind}-{n}" for kind in kinds for n in range(_ITEMS)]
        return {name: {"title": f"Product {name}", "price": n + price} for n, name in enumerate(names)}

    def _names(self, people: int) -> Iterable[str]:
        return (f"{self.name}-{n:06d}" for n in range(people))


def _is_changed(n: int) -> bool:
    return n % 5 < 3


def _list(n: int, kind: str) -> list[str]:
    return [f"{kind}-{(n + k) % _ITEMS}" for k in range(5)]


@dataclass(frozen=True)
class Account:
    """The account of a delivery, read from S3.

    :param outcomes: outcome by person, of the audience.
    :param rows: how many rows it has; more than people when somebody is counted twice.
    :param letters: outcome by person of the dead letters, those outside the audience among them.
    """

    outcomes: dict[str, str]
    rows: int
    letters: dict[str, str]

    @classmethod
    def of(cls, kit: Kit, delivery: str) -> Account:
        """Read it."""
        path = kit.include / "accounts.parquet"
        kit.context.store(Deliveries).download_accounts(delivery, path)
        table = pq.read_table(path, columns=["external_id", "outcome"])
        rows = list(zip(table["external_id"].to_pylist(), table["outcome"].to_pylist(), strict=True))
        lines = (kit.context.store(Deliveries).dead_letters(delivery) or b"").splitlines()
        letters = {letter["external_id"]: letter["outcome"] for letter in map(json.loads, lines)}
        return cls(dict(rows), len(rows), letters)

    def not_written(self) -> dict[str, str]:
        """Give the outcome of those who are accounted as not written."""
        return {who: what for who, what in (self.outcomes | self.letters).items() if what in _NOT_WRITTEN}

    def adds_up(self, audience: Mapping[str, list[str]], reported: Mapping[str, int]) -> bool:
        """Say whether it is the audience, each once, with outcomes that can be and as reported."""
        counted = Counter(self.outcomes.values())
        return (
            self.rows == len(self.outcomes)
            and self.outcomes.keys() == audience.keys()
            and all(reported.get(outcome, 0) == people for outcome, people in counted.items())
            and sum(reported.values()) == self.rows
            and all(_can_be(outcome, audience[who]) for who, outcome in self.outcomes.items())
        )


def _can_be(outcome: str, items: list[str]) -> bool:
    return outcome in ({"sent", "unchanged"} if items else {"removed", "suppressed"}) | _NOT_WRITTEN


@dataclass(frozen=True)
class Difference:
    """Where Braze differs from the truth.

    :param lost: people of the audience who do not have what they should, and are accounted as if they had.
    :param wrong: anybody whose value is neither the new one nor, for those accounted as not written, the old one.
    """

    lost: set[str]
    wrong: set[str]


def compare(found: Mapping[str, Any], old: Lists, new: Lists, excused: Mapping[str, str]) -> Difference:
    """Compare what Braze shows with the lists; nobody without a list may have the attribute."""
    lost, wrong = set(), set()
    for who in found.keys() | old.keys() | new.keys():
        value, wanted = found.get(who), new.get(who) or None
        if value == wanted:
            continue
        if who in new and who not in excused:
            lost.add(who)
        if who not in excused or value != (old.get(who) or None):
            wrong.add(who)
    return Difference(lost, wrong)


def shown(kit: Kit, attribute: str = "recs") -> dict[str, Any]:
    """Read the program's people from the sandbox, after applying what is pending."""
    kit.servers.control("POST", "flush")
    lines = _text(kit, "profiles.ndjson", prefix=kit.name)
    people = ((p["external_id"], p.get("custom_attributes", {})) for p in map(json.loads, lines))
    return {who: attributes[attribute] for who, attributes in people if attribute in attributes}


def dangling(
    kit: Kit, found: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]], excused: Mapping[str, str]
) -> set[str]:
    """Name the items that lists point at and the catalogue lacks or shows differently, and those that should be gone.

    Retired items stay as long as somebody could not be written and may still have a list that points at them.
    """
    catalog = kit.context.program.braze.catalog
    if catalog is None:
        return set()
    items = {item["id"]: item for item in map(json.loads, _text(kit, "items.ndjson", catalog=catalog.name))}
    used = {item for items in found.values() for item in items}
    wrong = {item for item in used & wanted.keys() if not _same(items.get(item), wanted[item])}
    missing = used - items.keys()
    return wrong | missing | (set() if excused else items.keys() - wanted.keys())


def _same(item: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> bool:
    return item is not None and all(item.get(k) == v for k, v in fields.items())


def _text(kit: Kit, path: str, **params: str) -> list[str]:
    answer = requests.get(f"{kit.servers.braze}/_local/{path}", params=params, timeout=120)
    answer.raise_for_status()
    return answer.text.splitlines()
