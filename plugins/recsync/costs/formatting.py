"""Amounts and quantities in words."""

from __future__ import annotations

from recsync.costs.charges import Kind

_GIGABYTE = 1_000_000_000
_UNITS = {
    Kind.INGESTED_BYTES: "GB imported",
    Kind.TRAINING_HOURS: "training hours",
    Kind.TRAINED_INTERACTIONS: "interactions trained on",
    Kind.BATCH_RECOMMENDATIONS: "batch recommendations",
    Kind.BATCH_SEGMENT_USERS: "users of batch segments",
    Kind.CAMPAIGN_TPS_HOURS: "TPS-hours of campaigns",
    Kind.DATA_POINTS: "Braze data points",
}


def money(amount: float, currency: str) -> str:
    """Write an amount: two digits, more of what would be 0.00."""
    digits = 2 if amount >= 0.01 or amount <= 0 else 6
    return f"{amount:,.{digits}f} {currency}"


def unit(kind: Kind) -> str:
    """Name the unit in which people read a kind."""
    return _UNITS[kind]


def number(kind: Kind, quantity: float) -> str:
    """Write a quantity in the unit that people read."""
    if kind is Kind.INGESTED_BYTES:
        quantity /= _GIGABYTE
    if kind in {Kind.INGESTED_BYTES, Kind.TRAINING_HOURS, Kind.CAMPAIGN_TPS_HOURS}:
        return f"{quantity:,.4g}" if 0 < quantity < 1 else f"{quantity:,.2f}"
    return f"{quantity:,.0f}"


def use(kind: Kind, quantity: float) -> str:
    """Write a quantity with its unit."""
    return f"{number(kind, quantity)} {unit(kind)}"
