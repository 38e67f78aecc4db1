"""Compare what a month's updates cost with what they would have cost the other way: by trainings, or by events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recsync.costs.ledger import Month, UsageEntry
from recsync.costs.prices import Charge, PriceList, UsageKind, format_money

_INTERACTIONS, _ITEMS = "interactions", "items"
_FOLDERS = (_INTERACTIONS, _ITEMS, "users")
# Bodies of PutEvents beside the CSV of the same rows of the sample: 4.8 with ten events of a person together, 6.3 with
# one. Rounded up.
STREAMED_PER_IMPORTED_BYTE = 6.5
# The defaults of train_update in the program file: new items, enough interactions, or a day of waiting.
_WORTH_INTERACTIONS, _LONGEST_WAIT = 1_000, timedelta(hours=24)


@dataclass(frozen=True)
class UpdateCosts:
    """The updates of one month.

    :param done: description of the updates, for the bill.
    :param cost: their cost.
    :param other: description of the alternative: events for trainings, trainings for events.
    :param other_cost: its estimated cost.
    """

    done: str
    cost: float
    other: str
    other_cost: float

    def lines(self, currency: str) -> list[tuple[str, str]]:
        """Return the lines of a bill, each with its amount."""
        less = self.cost - self.other_cost
        change = f"{format_money(abs(less), currency)} {'less' if less >= 0 else 'more'}"
        return [
            (self.done, format_money(self.cost, currency)),
            (f"{self.other}, about", f"{format_money(self.other_cost, currency)}: {change}"),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return both ways and the difference, positive when the other way costs less."""
        return {
            "done": self.done,
            "cost": self.cost,
            "other": self.other,
            "other_cost": self.other_cost,
            "saved_by_other": self.cost - self.other_cost,
        }


def compare(month: Month, prices: PriceList, update: Charge) -> UpdateCosts | None:
    """Compare trainings with events; None for a month without updates. The way with more entries counts as done.

    :param month: recorded use.
    :param update: the training that one update would take: an UPDATE, or a FULL for recipes without it.
    """
    trainings = _of_mode(month, "UPDATE")
    imports = _of_mode(month, "INCREMENTAL")
    streams = _of_mode(month, "STREAM")
    if len(streams) > len(trainings) + len(imports):
        return _of_streams(month, prices, streams, update)
    if not trainings:
        return None
    now = {**trainings, **imports}
    size = sum(entry.quantity for entry in imports.values())
    other = {"streamed": UsageEntry(UsageKind.INGESTED_BYTES, size * STREAMED_PER_IMPORTED_BYTE, "")}
    return UpdateCosts(
        f"updates by {len(trainings):,} UPDATE trainings",
        _cost(month, prices, now),
        "by events instead (update_by: events)",
        _cost(_without(month, now), prices, other),
    )


def _of_streams(
    month: Month, prices: PriceList, streams: Mapping[str, UsageEntry], update: Charge
) -> UpdateCosts:
    runs = {entry.name.split("/")[0] for entry in streams.values()}
    rows = sum(entry.rows or 0 for entry in streams.values())
    worth = count_worthwhile_updates(streams)
    size = sum(entry.quantity for entry in streams.values()) / STREAMED_PER_IMPORTED_BYTE
    other = {
        "training": UsageEntry(update.kind, update.quantity * worth, ""),
        "imported": UsageEntry(UsageKind.INGESTED_BYTES, size, ""),
    }
    return UpdateCosts(
        f"updates by {len(runs):,} streams of {rows:,} rows",
        _cost(month, prices, streams),
        f"by {worth:,} {update.what} instead",
        _cost(_without(month, streams), prices, other),
    )


def count_worthwhile_updates(streams: Mapping[str, UsageEntry]) -> int:
    """Count the UPDATE trainings that the defaults of ``train_update`` would have started.

    :param streams: entries of streamed objects; a name is ``<run>/<dataset>/<interval>``.
    """
    by_run: defaultdict[str, list[UsageEntry]] = defaultdict(list)
    for entry in streams.values():
        by_run[entry.name.split("/")[0]].append(entry)
    count, waiting, since = 0, 0, None
    for entries in sorted(by_run.values(), key=lambda found: found[0].at):
        at = datetime.fromisoformat(entries[0].at)
        since = since or at
        rows = {folder: sum(e.rows or 0 for e in entries if f"/{folder}/" in e.name) for folder in _FOLDERS}
        waiting += rows[_INTERACTIONS]
        if rows[_ITEMS] or waiting >= _WORTH_INTERACTIONS or (at - since >= _LONGEST_WAIT and rows["users"]):
            count, waiting, since = count + 1, 0, None
    return count


def _of_mode(month: Month, mode: str) -> dict[str, UsageEntry]:
    return {key: entry for key, entry in month.entries.items() if entry.mode == mode}


def _without(month: Month, entries: Mapping[str, UsageEntry]) -> Month:
    return Month({key: entry for key, entry in month.entries.items() if key not in entries})


def _cost(month: Month, prices: PriceList, entries: Mapping[str, UsageEntry]) -> float:
    """Return the marginal cost of entries in a month: prices may have tiers."""
    rest = _without(month, entries)
    return prices.cost(Month({**rest.entries, **entries}).used()) - prices.cost(rest.used())
