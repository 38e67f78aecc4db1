"""Simulated buyers: most buy nothing, the others a few times, for amounts with a long tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsync.experiments.statistics import Moments

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Buyers:
    """People with own rates of orders, which they keep.

    :param buying: share of people who ever buy.
    :param rate: mean orders per day of those; ``shape``: of their gamma distribution.
    :param sigma: of the lognormal amount of an order, whose mean is 30.
    """

    buying: float = 0.5
    rate: float = 0.05
    shape: float = 1.0
    sigma: float = 1.0

    def rates(self, random: np.random.Generator, users: int) -> Values:
        """Draw each user's orders per day."""
        rates = random.gamma(self.shape, self.rate / self.shape, users)
        return rates * (random.random(users) < self.buying)

    def totals(self, random: np.random.Generator, rates: Values, days: float) -> Values:
        """Draw what each user spends over some days."""
        orders = random.poisson(rates * days)
        return np.bincount(
            np.repeat(np.arange(len(rates)), orders), self._amounts(random, orders.sum()), len(rates)
        )

    def daily(self, random: np.random.Generator, rates: Values, days: int) -> Values:
        """Draw what each user spends on each day: one row per day."""
        orders = random.poisson(np.broadcast_to(rates, (days, len(rates)))).ravel()
        amounts = self._amounts(random, orders.sum())
        return np.bincount(np.repeat(np.arange(orders.size), orders), amounts, orders.size).reshape(days, -1)

    def _amounts(self, random: np.random.Generator, orders: int) -> Values:
        return random.lognormal(np.log(30) - self.sigma**2 / 2, self.sigma, orders)


def moments(values: Values, before: Values | None = None) -> Moments:
    """Return the moments of one arm."""
    if before is None:
        before = np.zeros_like(values)
    covariances = np.cov(values, before)
    return Moments(
        len(values),
        int(np.count_nonzero(values)),
        float(values.mean()),
        float(covariances[0, 0]),
        float(before.mean()),
        float(covariances[1, 1]),
        float(covariances[0, 1]),
    )
