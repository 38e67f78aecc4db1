"""The lists as one would write them by hand: slow, one person after another, in plain Python.

Shares no code with what it checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

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
    brand: str | None = None
    promoted: bool = False
    boosted: bool = False
    age_days: float | None = None

    @property
    def created(self) -> str | None:
        return None if self.age_days is None else (NOW - timedelta(days=self.age_days)).isoformat()

    def text(self, column: str) -> str | None:
        return self.brand if column == "brand" else self.category

    def values(self, column: str) -> list[str]:
        text = self.text(column)
        return text.split("|") if text else []


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
    past: dict[str, list[tuple[str, list[str]]]] = field(default_factory=dict)
    """By rule, lists of users whose items the rule leaves out."""
    scores: dict[str, float] = field(default_factory=dict)
    """By item, for every user; an item without one has none."""


Row = tuple[list[str], str, str, str]
"""Items, tier, reason, and why there is no answer."""
EARLIER = (
    "not in the catalogue",
    "out of stock",
    "bought",
    "not_in",
    "mailed",
    "score below min_score",
    "duplicate",
)


class Reference:
    def __init__(self, world: World, policy: Recommendations) -> None:
        self.world, self.policy = world, policy
        self.dropped: Counter[str] = Counter()
        self.short: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        # By id in Braze: own candidates by rule, an unknown one as "", and all rules that left out any.
        self.left_out: dict[str, Counter[tuple[str, str]]] = {}
        self.costs: dict[str, set[str]] = {}
        self.seeds: dict[str, list[str]] = {}
        # By id in Braze, what put each item of the list there.
        self.put_by: dict[str, dict[str, str]] = {}
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
        answer = line if isinstance(line, list) else []
        costs: set[str] = set()
        self.mine = self.left_out.setdefault(person.external_id, Counter())
        self.costs[person.external_id] = costs
        self.seeds[person.external_id] = []
        self.put: dict[str, str] = self.put_by.setdefault(person.external_id, {})
        tier, rules = "personal", self.policy.rules
        if rules.boost or rules.diversity or rules.shares:
            chosen, has_own = self.selected(person, answer, costs)
        else:
            chosen = self.filtered(person, answer, costs)[: self.policy.length]
            has_own = bool(chosen)
            self.put |= dict.fromkeys(chosen, "personal")
        unanswered = "" if isinstance(line, list) else self.reason(line)
        filled = False
        if len(chosen) < self.policy.shortest or not has_own:
            for name in self.policy.fallback:
                if name == "similar":
                    self.seeds[person.external_id] = self.last_bought(person)
                for item_id in self.candidates(name, person):
                    if rules.promoted and self.world.items[item_id].promoted:
                        continue
                    broken = self.broken(person, item_id, chosen)
                    if broken and broken != "duplicate":
                        costs.add(broken)
                    if len(chosen) < self.policy.length and not broken:
                        chosen.append(item_id)
                        tier, filled = name, True
                        self.put[item_id] = name
        if not (has_own or filled) or len(chosen) < self.policy.shortest:
            chosen = []
        if len(chosen) < self.policy.length:
            self.short.update(costs)
        if not chosen:
            return [], "", self.reason(line), unanswered
        return self.finished(chosen), tier, "", unanswered

    def filtered(
        self, person: Person, answer: list[str], costs: set[str], *, limits: bool = True
    ) -> list[str]:
        """Return the items of an answer that no rule drops."""
        chosen: list[str] = []
        seen: set[str] = set()
        for item_id in answer:
            broken = self.broken(person, item_id, chosen, personal=True, limits=limits)
            if broken not in {None, *EARLIER} and item_id in seen:
                broken = "duplicate"
            seen.add(item_id)
            if broken:
                self.drop(broken, costs, item_id)
            else:
                chosen.append(item_id)
        return chosen

    def drop(self, rule: str, costs: set[str], item_id: str) -> None:
        self.dropped[rule] += 1
        self.mine[rule, item_id if item_id in self.world.items else ""] += 1
        costs.add(rule)

    def counts(self) -> dict[str, int]:
        rules, length = self.policy.rules, self.policy.length
        asked = {"promoted": rules.promoted, "new": rules.new_items_share}
        return {name: round(each.share * length) for name, each in asked.items() if each}

    def is_of(self, name: str, item_id: str) -> bool:
        item, new = self.world.items[item_id], self.policy.rules.new_items_share
        if name == "promoted":
            return item.promoted
        return new is not None and item.age_days is not None and item.age_days <= new.days

    def selected(self, person: Person, answer: list[str], costs: set[str]) -> tuple[list[str], bool]:
        """Choose own items and items of the pools, share by share."""
        rules, length = self.policy.rules, self.policy.length
        own = self.filtered(person, answer, costs, limits=False)
        if rules.boost:
            scores, factor = self.world.scores, rules.boost.factor
            own.sort(
                key=lambda i: float(scores.get(i, 0)) * (factor if self.world.items[i].boosted else 1),
                reverse=True,
            )
        value = {item_id: 1 - place / len(own) for place, item_id in enumerate(own)}
        chosen: list[str] = []
        done: set[str] = set()

        def take(fits: Callable[[str], bool], wanted: int, rule: str, *, capped: bool = False) -> None:
            offered = [i for i in own if i not in done and fits(i)] if wanted or capped else []
            good: list[str] = []
            for item_id in offered:
                if broken := self.limit(item_id, [*chosen, *good]):
                    self.drop(broken, costs, item_id)
                    done.add(item_id)
                else:
                    good.append(item_id)
            for _ in range(min(wanted, len(good))):
                item_id = self.most_worth(good, value, [i for i in chosen if i in value])
                good.remove(item_id)
                done.add(item_id)
                chosen.append(item_id)
                self.put[item_id] = rule
            for item_id in good if capped else ():
                self.drop("promoted", costs, item_id)

        def other(item_id: str) -> bool:
            return not (rules.promoted and self.is_of("promoted", item_id))

        for name, count in self.counts().items():
            fits = partial(self.is_of, name)

            def fits_only(item_id: str, name: str = name) -> bool:
                return self.is_of(name, item_id) and (name == "promoted" or other(item_id))

            def wanted(count: int = count, fits: Callable[[str], bool] = fits) -> int:
                return max(0, min(count - sum(map(fits, chosen)), length - len(chosen)))

            rule = {"promoted": "promoted", "new": "new_items_share"}[name]
            take(fits_only, wanted(), rule, capped=name == "promoted")
            if own or self.policy.fallback:
                for item_id in self.pool(name):
                    if wanted() and fits_only(item_id) and not self.broken(person, item_id, chosen):
                        chosen.append(item_id)
                        self.put[item_id] = rule
        take(other, length - len(chosen), "personal")
        mine = sorted((i for i in chosen if i in value and i in done), key=own.index)
        pooled = [i for i in chosen if i not in mine]
        ordered: list[str] = []
        while mine:
            ordered.append(self.most_worth(mine, value, ordered))
            mine.remove(ordered[-1])
        return [*ordered, *pooled], bool(ordered)

    def most_worth(self, items: list[str], value: dict[str, float], chosen: list[str]) -> str:
        diversity = self.policy.rules.diversity
        if not diversity:
            return items[0]

        def worth(item_id: str) -> float:
            group = self.world.items[item_id].text(diversity.by)
            groups = [g for i in chosen if (g := self.world.items[i].text(diversity.by))]
            like = groups.count(group) / max(1, len(chosen)) if group else 0.0
            return (1 - diversity.strength) * value[item_id] - diversity.strength * like

        return max(items, key=lambda i: (worth(i), -items.index(i)))

    def pool(self, name: str) -> list[str]:
        counts = Counter(i for items in self.recent.values() for i in items)
        there = [i for i in self.world.items if self.is_of(name, i) and self.sellable(i)]
        return sorted(there, key=lambda i: (-counts[i], i))

    def finished(self, chosen: list[str]) -> list[str]:
        """Put promoted items at their positions, and count the shares that are missed."""
        for name, count in self.counts().items():
            held = sum(self.is_of(name, item_id) for item_id in chosen)
            if held < count or (name == "promoted" and held > count):
                self.missed["promoted" if name == "promoted" else "new_items_share"] += 1
        promoted = self.policy.rules.promoted
        if not promoted:
            return chosen
        first = [i for i in chosen if self.is_of("promoted", i)][: len(promoted.positions)]
        others = [i for i in chosen if i not in first]
        places: list[str | None] = [None] * self.policy.length
        for position, item_id in zip(promoted.positions, first, strict=False):
            places[position - 1] = item_id
        return [i for i in (item_id or (others.pop(0) if others else None) for item_id in places) if i]

    def reason(self, line: list[str] | str | None) -> str:
        if line is None:
            return "the batch output has no line for this person"
        if isinstance(line, str):
            return "the batch output has an error for this person"
        return f"fewer than {self.policy.shortest} items that may be mailed"

    def broken(
        self, person: Person, item_id: str, chosen: list[str], *, personal: bool = False, limits: bool = True
    ) -> str | None:
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
        for rule, name in (("not_in", "not_in"), ("not_mailed_in_days", "mailed")):
            if any(
                user == person.user_id and item_id in held for user, held in self.world.past.get(rule, [])
            ):
                return name
        score = self.world.scores.get(item_id) if personal else None
        if rules.min_score is not None and score is not None and score < rules.min_score:
            return "score below min_score"
        if item_id in chosen:
            return "duplicate"
        return self.limit(item_id, chosen) if limits else None

    def limit(self, item_id: str, chosen: list[str]) -> str | None:
        """Name the first limit that an item breaks behind others."""
        rules, item = self.policy.rules, self.world.items[item_id]
        for column in rules.distinct:
            mine = item.text(column)
            if mine and any(self.world.items[other].text(column) == mine for other in chosen):
                return f"distinct.{column}"
        caps = {"department": rules.max_per_category} if rules.max_per_category else {}
        for column, most in {**caps, **rules.max_per}.items():
            held = Counter(name for other in chosen for name in self.world.items[other].values(column))
            if any(held[name] >= most for name in item.values(column)):
                return "category" if column == "department" and rules.category else f"max_per.{column}"
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

    def last_bought(self, person: Person) -> list[str]:
        mine = self.recent.get(person.user_id, {})
        return sorted(mine, key=lambda i: (-mine[i], i))[:5]

    def similar(self, person: Person) -> list[str]:
        score: Counter[str] = Counter()
        for seed in self.last_bought(person):
            for basket in self.recent.values():
                if seed in basket:
                    score.update(i for i in basket if i != seed and self.sellable(i))
        return sorted(score, key=lambda i: (-score[i], i))
