from __future__ import annotations

from pathlib import Path

import pytest

from recsync.costs.prices import Price, Prices, PriceTier, UsageKind, read_prices
from recsync.errors import FatalError

INCLUDE = Path(__file__).resolve().parents[3] / "include"
TWO_LISTS = """
currency: EUR
lists:
  - {since: "2026-01", prices: {training_hours: {price: 1}}}
  - {since: "2026-07", prices: {training_hours: {price: 2}}}
"""


def test_tiers_cost_less_beyond_their_bounds_only() -> None:
    price = Price(price=2, per=10, tiers=(PriceTier(above=100, price=1), PriceTier(above=200, price=0)))
    assert [price.of(quantity) for quantity in (0, 50, 100, 150, 200, 900)] == [0, 10, 20, 25, 30, 30]


def test_a_month_keeps_the_prices_it_had(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(TWO_LISTS)
    prices = read_prices(tmp_path)
    months = ("2025-12", "2026-01", "2026-06", "2026-07", "2027-01")
    assert [prices.of(month).cost_of(UsageKind.TRAINING_HOURS, 3) for month in months] == [3, 3, 3, 6, 6]
    assert prices.currency == "EUR"


def test_without_a_price_use_costs_nothing_and_says_so(tmp_path: Path) -> None:
    for listed in (read_prices(tmp_path).of("2026-11"), read_prices(INCLUDE).of("2026-11")):
        assert listed.cost({UsageKind.DATA_POINTS: 1e6}) == 0
        assert not listed.is_known(UsageKind.DATA_POINTS)


def test_the_file_that_ships_prices_all_that_a_pipeline_pays_to_amazon() -> None:
    listed = read_prices(INCLUDE).of("2026-11")
    unknown = [kind for kind in UsageKind if not listed.is_known(kind)]
    assert unknown == [UsageKind.RECOMMENDER_RPS_HOURS, UsageKind.DATA_POINTS]
    assert listed.cost({UsageKind.INGESTED_BYTES: 2e9, UsageKind.TRAINING_HOURS: 10}) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lists: [", "not valid YAML"),
        ("list: []", "prices.yaml:1: list: unknown field; did you mean lists?"),
        ('lists: [{since: "2026-13", prices: {}}]', "lists.0.since"),
        ('lists: [{since: "2026-01", prices: {training_hour: {price: 1}}}]', "training_hour"),
        ('lists: [{since: "2026-01", prices: {training_hours: {price: -1}}}]', "must be at least 0"),
        ('lists: [{since: "2026-02", prices: {}}, {since: "2026-01", prices: {}}]', "order of since"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(FatalError, match=said):
        read_prices(tmp_path)


def test_tiers_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order of above"):
        Price(price=1, tiers=(PriceTier(above=2, price=1), PriceTier(above=1, price=1)))
    assert Prices().of("2026-11").cost({UsageKind.TRAINING_HOURS: 1}) == 0
