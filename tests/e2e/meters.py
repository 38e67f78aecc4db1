"""What the local servers metered, and what a program's ledger says."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from services import Services
from shop import Shop

from recsync.costs.ledger import CostLedger


def metered(services: Services) -> dict[str, float]:
    """Read both meters, by kind of use."""
    personalize = requests.get(f"{services.personalize}/_local/meter", timeout=30).json()
    services.profiles()  # applies what is pending
    return {**personalize, "data_points": float(services.meter()["data_points"]["total"])}


def booked(shop: Shop) -> dict[str, float]:
    """Add up a program's ledger over all months, by kind of use."""
    from recsync.context import StageContext

    store, sums = StageContext.of(shop.name).store(CostLedger), dict[str, float]()
    for month in store.months():
        for kind, quantity in store.read(month).recorded().used().items():
            sums[kind.value] = sums.get(kind.value, 0.0) + quantity
    return sums


def used(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Say what was used between two readings, to compare sums with."""
    return {key: pytest.approx(after[key] - before[key]) for key in after if after[key] != before[key]}
