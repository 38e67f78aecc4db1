"""Simulate what the people of an experiment buy, with a planted effect of each arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

_DAY_SECONDS = 86_400
_MEAN_AMOUNT = 30.0
_TABLE = """
CREATE SCHEMA IF NOT EXISTS journey;
CREATE TABLE IF NOT EXISTS journey.outcomes (
    user_id text NOT NULL,
    happened_at timestamptz NOT NULL,
    value numeric(12, 2),
    item_id text,
    event text NOT NULL,
    outcome_id text PRIMARY KEY
)
"""

Row = tuple[str, datetime, float | None, str | None, str, str]


@dataclass(frozen=True)
class Buyers:
    """How people buy.

    :param buying: share of people who ever buy.
    :param orders_per_day: mean of those; each has a rate of their own, exponentially distributed.
    :param sigma: of the lognormal amount of an order.
    :param from_list: share of the orders since the start that are of an item of the person's list.
    :param effects: by arm, the relative effect on orders since the start.
    :param events: further events: the share of people who have each since the start.
    :param event_effects: by arm, the relative effect on all of these events.
    """

    buying: float = 0.7
    orders_per_day: float = 0.15
    sigma: float = 0.6
    from_list: float = 0.2
    effects: Mapping[str, float] = field(default_factory=dict)
    events: Mapping[str, float] = field(default_factory=dict)
    event_effects: Mapping[str, float] = field(default_factory=dict)


def simulate(
    connection: psycopg.Connection[Any],
    people: pa.Table,
    buyers: Buyers,
    *,
    days: int,
    days_before: int = 28,
    seed: int = 1,
    items: Sequence[str] = (),
    lists: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Replace the rows of ``journey.outcomes`` by simulated ones.

    :param people: columns ``user_id``, ``arm`` and ``since`` (Unix seconds), one row per person.
    :param days: since each person's ``since``; ``days_before``: before it, without effects.
    :param items: items to buy; empty: rows without an item.
    :param lists: items by user, of which some orders are.
    :returns: the number of rows.
    """
    connection.execute(_TABLE)
    connection.execute("TRUNCATE journey.outcomes")
    rows = 0
    with connection.cursor().copy("COPY journey.outcomes FROM STDIN") as copy:
        for row in _rows(people, buyers, days, days_before, np.random.default_rng(seed), items, lists or {}):
            copy.write_row(row)
            rows += 1
    return rows


def _rows(
    people: pa.Table,
    buyers: Buyers,
    days: int,
    days_before: int,
    random: np.random.Generator,
    items: Sequence[str],
    lists: Mapping[str, Sequence[str]],
) -> Iterator[Row]:
    # The same people in the same order, so that a seed means the same.
    people = people.take(pc.sort_indices(people["user_id"]))
    users, arms = people["user_id"].to_pylist(), people["arm"].to_pylist()
    since = people["since"].to_numpy()
    rates = random.exponential(buyers.orders_per_day, len(users)) * (
        random.random(len(users)) < buyers.buying
    )
    factors = 1 + np.array([buyers.effects.get(arm, 0.0) for arm in arms])
    number = 0
    for first, length, scale in ((-days_before, days_before, np.ones(len(users))), (0, days, factors)):
        who = np.repeat(np.arange(len(users)), random.poisson(rates * length * scale))
        at = since[who] + ((first + random.random(len(who)) * length) * _DAY_SECONDS).astype(np.int64)
        amounts = random.lognormal(np.log(_MEAN_AMOUNT) - buyers.sigma**2 / 2, buyers.sigma, len(who))
        for user, second, amount in zip(who, at, amounts, strict=True):
            mine = lists.get(users[user], ()) if first >= 0 and random.random() < buyers.from_list else ()
            number += 1
            yield (
                users[user], _moment(second), round(float(amount), 2), _pick(random, mine or items),
                "conversion", f"order {number}",
            )  # fmt: skip
    factors = 1 + np.array([buyers.event_effects.get(arm, 0.0) for arm in arms])
    for event, share in buyers.events.items():
        for user in np.flatnonzero(random.random(len(users)) < share * factors):
            second = since[user] + int(random.random() * days * _DAY_SECONDS)
            yield users[user], _moment(second), None, None, event, f"{event} {user}"


def _pick(random: np.random.Generator, items: Sequence[str]) -> str | None:
    return items[int(random.integers(len(items)))] if items else None


def _moment(second: np.int64 | int) -> datetime:
    return datetime.fromtimestamp(int(second), UTC)
