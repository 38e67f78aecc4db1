"""Kinds of usage and their prices: the model of ``include/prices.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recsync.errors import FatalError
from recsync.program.problems import YamlFile


class UsageKind(StrEnum):
    """The units in which Amazon Personalize and Braze bill.

    https://aws.amazon.com/personalize/pricing/
    https://www.braze.com/docs/user_guide/data/infrastructure/data_points
    """

    INGESTED_BYTES = "ingested_bytes"
    TRAINING_HOURS = "training_hours"
    TRAINED_INTERACTIONS = "trained_interactions"
    BATCH_RECOMMENDATIONS = "batch_recommendations"
    BATCH_SEGMENT_USERS = "batch_segment_users"
    CAMPAIGN_TPS_HOURS = "campaign_tps_hours"
    RECOMMENDER_RPS_HOURS = "recommender_rps_hours"
    DATA_POINTS = "data_points"


@dataclass(frozen=True)
class Charge:
    """The estimated use of one kind by a step.

    :param what: what it is for, in a few words; unique within a run.
    :param job: name of the job, solution version or delivery that will be billed; its recorded usage replaces the
        estimate. Empty when the resource has no unique name.
    :param basis: where the quantity comes from.
    """

    kind: UsageKind
    quantity: float
    what: str
    job: str = ""
    basis: str = ""


FILE_NAME = "prices.yaml"
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceTier(_Strict):
    """A price from some quantity of a month on.

    :param above: quantity of the kind's own unit from which on ``price`` applies.
    """

    above: float = Field(ge=0)
    price: float = Field(ge=0)


class Price(_Strict):
    """What one kind of use costs.

    :param price: price per ``per`` units; None when unknown (counted, at no cost).
    :param tiers: prices of a month's use beyond some quantity, lowest quantity first.
    """

    price: float | None = Field(default=None, ge=0)
    per: float = Field(default=1, gt=0)
    tiers: tuple[PriceTier, ...] = ()

    @field_validator("tiers")
    @classmethod
    def _rising(cls, tiers: tuple[PriceTier, ...]) -> tuple[PriceTier, ...]:
        bounds = [tier.above for tier in tiers]
        if bounds != sorted(set(bounds)):
            raise ValueError("must be in the order of above, each once")
        return tiers

    def of(self, quantity: float) -> float:
        """Return the price of a month's use."""
        if self.price is None:
            return 0.0
        bounds = [0.0, *(tier.above for tier in self.tiers), float("inf")]
        prices = [self.price, *(tier.price for tier in self.tiers)]
        parts = (
            max(0.0, min(quantity, high) - low) * price
            for low, high, price in zip(bounds, bounds[1:], prices, strict=False)
        )
        return sum(parts) / self.per


class Assumed(_Strict):
    """Estimates for steps of which no usage is recorded yet.

    :param training_hours: of a FULL training or an UPDATE.
    """

    training_hours: float = Field(default=1.0, ge=0)


class PriceList(_Strict):
    """The prices from one month on.

    :param since: the first month, ``YYYY-MM``.
    """

    since: str = Field(pattern=MONTH_PATTERN)
    prices: Mapping[UsageKind, Price]

    def cost(self, used: Mapping[UsageKind, float]) -> float:
        """Return the price of a month's use."""
        return sum(self.cost_of(kind, quantity) for kind, quantity in used.items())

    def cost_of(self, kind: UsageKind, quantity: float) -> float:
        """Return the price of a month's use of one kind."""
        return self.prices[kind].of(quantity) if kind in self.prices else 0.0

    def is_known(self, kind: UsageKind) -> bool:
        """Return whether the price of a kind is known."""
        return kind in self.prices and self.prices[kind].price is not None


class Prices(_Strict):
    """The price file.

    :param currency: of all prices and budgets.
    :param lists: one per change of prices, oldest first; a month keeps the prices it had.
    """

    currency: str = Field(default="USD", min_length=1, max_length=8)
    assumed: Assumed = Assumed()
    lists: tuple[PriceList, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        months = [prices.since for prices in self.lists]
        if months != sorted(set(months)):
            raise ValueError("lists must be in the order of since, each month once")
        return self

    def of(self, month: str) -> PriceList:
        """Return the prices of a month; before the first list, those of the first list."""
        found = [prices for prices in self.lists if prices.since <= month] or [*self.lists[:1]]
        return found[-1] if found else PriceList(since=month, prices={})


def read_prices(include: Path) -> Prices:
    """Read ``prices.yaml``; without the file, no price is known.

    :raises FatalError: listing every problem of the file.
    """
    path = include / FILE_NAME
    if not path.is_file():
        return Prices()
    file = YamlFile.read(path, FILE_NAME)
    try:
        return Prices.model_validate(file.document or {})
    except ValidationError as error:
        raise FatalError("\n".join(file.explained(error.errors(), Prices))) from None


_GIGABYTE = 1_000_000_000
UNITS = {
    UsageKind.INGESTED_BYTES: "GB imported",
    UsageKind.TRAINING_HOURS: "training hours",
    UsageKind.TRAINED_INTERACTIONS: "interactions trained on",
    UsageKind.BATCH_RECOMMENDATIONS: "batch recommendations",
    UsageKind.BATCH_SEGMENT_USERS: "users of batch segments",
    UsageKind.CAMPAIGN_TPS_HOURS: "TPS-hours of campaigns",
    UsageKind.RECOMMENDER_RPS_HOURS: "request-per-second hours of recommenders",
    UsageKind.DATA_POINTS: "Braze data points",
}


def format_money(amount: float, currency: str) -> str:
    """Format an amount with 2 digits, or 6 where 2 would show 0.00."""
    digits = 2 if amount >= 0.01 or amount <= 0 else 6
    return f"{amount:,.{digits}f} {currency}"


def format_quantity(kind: UsageKind, quantity: float) -> str:
    """Format a quantity in the unit of :data:`UNITS`."""
    if kind is UsageKind.INGESTED_BYTES:
        quantity /= _GIGABYTE
    if kind is UsageKind.INGESTED_BYTES or kind.value.endswith("_hours"):
        return f"{quantity:,.4g}" if 0 < quantity < 1 else f"{quantity:,.2f}"
    return f"{quantity:,.0f}"


def format_use(kind: UsageKind, quantity: float) -> str:
    """Format a quantity with its unit."""
    return f"{format_quantity(kind, quantity)} {UNITS[kind]}"
