"""The lists as one would write them by hand: slow, one person after another, in plain Python.

Shares no code with what it checks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from recsync.program import Recommendations

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Person:
    user_id: str
    external_id: str
    segment: str | None = None


@dataclass(frozen=True)
class Item:
    in_stock: bool = True
    category: str | None = None

    @property
    def categories(self) -> list[str]:
        return self.category.split("|") if self.category else []


@dataclass(frozen=True)
class Event:
    user_id: str
    item_id: str
    days_ago: float

    @property
    def timestamp(self) -> int:
        return int(NOW.timestamp() - self.days_ago * DAY_SECONDS)


@dataclass
class World:
    """Everything that lists are made of; ``lines``: items, an error text, or a user without a readable line."""

    people: list[Person]
    items: dict[str, Item]
    lines: list[tuple[str, list[str] | str]]
    events: list[Event] = field(default_factory=list)


Row = tuple[list[str], str, str, str]
"""Items, tier, reason, and why there is no answer."""


class Reference:
    def __init__(self, world: World, policy: Recommendations) -> None:
        self.world, self.policy = world, policy
        self.dropped: Counter[str] = Counter()
        self.lines: dict[str, list[str] | str] = {}
        for user_id, line in world.lines:
            if isinstance(line, list) or user_id not in self.lines:
                self.lines[user_id] = line
        since = NOW.timestamp() - policy.fallback_days * DAY_SECONDS
        # What is not in the catalogue is nobody's purchase; of several purchases of an item the last one counts.
        self.recent: dict[str, dict[str, int]] = {}
        for event in sorted(world.events, key=lambda e: e.timestamp):
            if event.timestamp >= int(since) and event.item_id in world.items:
                self.recent.setdefault(event.user_id, {})[event.item_id] = event.timestamp

    def rows(self) -> dict[str, Row]:
        return {person.external_id: self.row(person) for person in self.world.people}

    def row(self, person: Person) -> Row:
        line = self.lines.get(person.user_id)
        chosen: list[str] = []
        tier = "personal"
        seen: set[str] = set()
        for item_id in line if isinstance(line, list) else []:
            broken = self.broken(person, item_id, chosen)
            if broken == "category" and item_id in seen:
                broken = "duplicate"
            seen.add(item_id)
            if broken:
                self.dropped[broken] += 1
            else:
                chosen.append(item_id)
        chosen = chosen[: self.policy.length]
        unanswered = "" if isinstance(line, list) else self.reason(line)
        if len(chosen) < self.policy.shortest:
            for name in self.policy.fallback:
                for item_id in self.candidates(name, person):
                    if len(chosen) < self.policy.length and not self.broken(person, item_id, chosen):
                        chosen.append(item_id)
                        tier = name
        if len(chosen) >= self.policy.shortest:
            return chosen, tier, "", unanswered
        return [], "", self.reason(line), unanswered

    def reason(self, line: list[str] | str | None) -> str:
        if line is None:
            return "the batch output has no line for this person"
        if isinstance(line, str):
            return "the batch output has an error for this person"
        return f"fewer than {self.policy.shortest} items that may be mailed"

    def broken(self, person: Person, item_id: str, chosen: list[str]) -> str | None:
        """Name the first rule that an item breaks behind the items chosen so far."""
        rules, item = self.policy.rules, self.world.items.get(item_id)
        if item is None:
            return "not in the catalogue"
        if rules.in_stock and not item.in_stock:
            return "out of stock"
        if rules.not_bought_in_days:
            since = int(NOW.timestamp() - rules.not_bought_in_days * DAY_SECONDS)
            for event in self.world.events:
                if (event.user_id, event.item_id) == (person.user_id, item_id) and event.timestamp >= since:
                    return "bought"
        if item_id in chosen:
            return "duplicate"
        if rules.max_per_category:
            held = Counter(name for other in chosen for name in self.world.items[other].categories)
            if any(held[name] >= rules.max_per_category for name in item.categories):
                return "category"
        return None

    def sellable(self, item_id: str) -> bool:
        return self.world.items[item_id].in_stock or not self.policy.rules.in_stock

    def candidates(self, tier: str, person: Person) -> list[str]:
        if tier == "similar":
            return self.similar(person)
        if tier == "popular":
            return self.popular(set(self.recent))
        if person.segment is None:
            return []
        return self.popular({p.user_id for p in self.world.people if p.segment == person.segment})

    def popular(self, users: set[str]) -> list[str]:
        counts = Counter(i for user in users for i in self.recent.get(user, {}) if self.sellable(i))
        return sorted(counts, key=lambda i: (-counts[i], i))

    def similar(self, person: Person) -> list[str]:
        mine = self.recent.get(person.user_id, {})
        score: Counter[str] = Counter()
        for seed in sorted(mine, key=lambda i: (-mine[i], i))[:5]:
            for basket in self.recent.values():
                if seed in basket:
                    score.update(i for i in basket if i != seed and self.sellable(i))
        return sorted(score, key=lambda i: (-score[i], i))
