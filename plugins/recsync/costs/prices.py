"""Prices as configuration: ``include/prices.yaml``, checked by one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recsync.costs.charges import Kind
from recsync.errors import FatalError
from recsync.program.yaml_file import YamlFile

FILE_NAME = "prices.yaml"
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tier(_Strict):
    """A price from some quantity of a month on.

    :param above: what is used beyond this, in the kind's own unit, costs ``price``.
    """

    above: float = Field(ge=0)
    price: float = Field(ge=0)


class Price(_Strict):
    """What one kind of use costs.

    :param price: of so many as ``per`` says; None: not known, so the use is counted and costs nothing here.
    :param tiers: lower prices for what a month uses beyond some quantity, lowest first.
    """

    price: float | None = Field(default=None, ge=0)
    per: float = Field(default=1, gt=0)
    tiers: tuple[Tier, ...] = ()

    @field_validator("tiers")
    @classmethod
    def _rising(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        bounds = [tier.above for tier in tiers]
        if bounds != sorted(set(bounds)):
            raise ValueError("must be in the order of above, each once")
        return tiers

    def of(self, quantity: float) -> float:
        """Give the price of a month's use."""
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
    """What is expected of a step before one of its kind has been booked.

    :param training_hours: of a FULL training; an UPDATE is expected to need as much.
    """

    training_hours: float = Field(default=1.0, ge=0)


class PriceList(_Strict):
    """The prices from one month on.

    :param since: the first month, ``YYYY-MM``.
    """

    since: str = Field(pattern=MONTH_PATTERN)
    prices: Mapping[Kind, Price]

    def cost(self, used: Mapping[Kind, float]) -> float:
        """Give the price of a month's use."""
        return sum(self.cost_of(kind, quantity) for kind, quantity in used.items())

    def cost_of(self, kind: Kind, quantity: float) -> float:
        """Give the price of a month's use of one kind."""
        return self.prices[kind].of(quantity) if kind in self.prices else 0.0

    def is_known(self, kind: Kind) -> bool:
        """Tell whether a kind has a price."""
        return kind in self.prices and self.prices[kind].price is not None


class Prices(_Strict):
    """The file of prices.

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
        """Give the prices of a month; those of the oldest list for a month before it."""
        found = [prices for prices in self.lists if prices.since <= month] or [*self.lists[:1]]
        return found[-1] if found else PriceList(since=month, prices={})


def read_prices(include: Path) -> Prices:
    """Read ``prices.yaml``; without the file nothing has a price, and what is used is only counted.

    :raises FatalError: with everything that is wrong with it.
    """
    path = include / FILE_NAME
    if not path.is_file():
        return Prices()
    file = YamlFile.read(path, FILE_NAME)
    try:
        return Prices.model_validate(file.document or {})
    except ValidationError as error:
        raise FatalError("\n".join(file.explained(error.errors(), Prices))) from None
