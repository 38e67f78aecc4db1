"""The stage against PostgreSQL: outcomes of simulated buyers, lists and accounts of deliveries."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import numpy as np
import pytest
from experiment_shop import DAY, START, ExperimentShop, Row
from simulated_buyers import Buyers

from recsync.errors import FatalError
from recsync.experiments.report import CONVERSION, RECOMMENDED_ITEMS, VALUE_PER_USER, LiftReport
from recsync.experiments.store import LiftStore
from recsync.lift.run import measure


@pytest.fixture
def row_content() -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:b-)?(?:u\d+|stranger)(?![\w-])")


def latest(shop: ExperimentShop) -> LiftReport:
    report = shop.context.store(LiftStore).latest()
    assert report is not None
    return report


def test_each_outcome_counts_once_and_where_it_belongs(
    experiment_shop: ExperimentShop, no_record_content: list[str]
) -> None:
    shop = experiment_shop
    shop.enrol(
        [
            ("u1", "recommended", 0, None),
            ("u2", "recommended", 0, None),
            ("u3", "holdout", 0, None),
            # Given another arm on day 3, so left out.
            ("u4", "holdout", 0, 3 * DAY),
            ("u4", "recommended", 3 * DAY, None),
            # Given the arm later.
            ("u5", "holdout", 2 * DAY, None),
            # Outside the experiment.
            ("u6", "", 0, None),
        ]
    )
    # u2's list was not taken by Braze; the holdout has none.
    shop.deliver(0, {"u1": ["p1", "p2"], "u2": ["p1"]}, {"u1": "sent", "u2": "rejected", "u3": "suppressed"})
    shop.deliver(1, {"u1": ["p3"], "u2": ["p1"]}, {"u1": "unchanged", "u2": "kept", "u3": "suppressed"})
    rows: list[Row] = [
        ("u1", 2 * 3600, 10.0, "p1", None, "o1"),
        ("u1", 2 * 3600, 10.0, "p1", None, "o1"),  # delivered twice
        ("u1", 3600 - 1, 1.0, "p1", "", "o2"),  # before the delivery
        ("u1", 2 * DAY, 5.5, "p3", "conversion", "o3"),
        ("u1", 9 * DAY, 2.0, "p1", None, "o4"),  # after the window of 7 days
        ("u1", 3 * DAY, -4.0, "p2", None, "o5"),  # a refund
        ("u1", -2 * DAY, 7.0, None, None, "o6"),  # pre-period
        ("u1", -8 * DAY, 7.0, None, None, "o7"),  # before the pre-period
        ("u2", 2 * DAY, None, "p1", None, None),  # no value; the list did not arrive
        ("u2", 2 * DAY, None, None, "unsubscribe", None),
        ("u3", 3 * DAY, 8.0, "p1", None, "o8"),
        ("u4", 4 * DAY, 100.0, "p1", None, "o9"),
        ("u5", 1 * DAY, 50.0, None, None, "o10"),  # before it was given the arm: pre-period
        ("u5", 5 * DAY, 3.0, None, None, "o11"),
        ("u6", 5 * DAY, 1.0, None, None, "o12"),
        ("stranger", 5 * DAY, 1.0, None, None, "o13"),
        (None, 5 * DAY, 1.0, None, None, "o14"),
        ("u1", 30 * DAY, 1000.0, None, None, "o15"),  # after the report
    ]
    shop.load(rows)
    shop.write_program(guardrails={"unsubscribe": 0.2})
    said = measure("shop", "run", START + timedelta(days=10))
    report = latest(shop)
    recommended, holdout = report.arms
    assert (recommended.users, recommended.moved, recommended.delivered) == (2, 1, 1)
    assert (recommended.converted, recommended.value) == (2, pytest.approx(14.5))
    assert recommended.value_per_user == pytest.approx(7.25)
    assert recommended.bought_recommended == 2
    assert (holdout.users, holdout.moved, holdout.delivered, holdout.converted) == (2, 0, 0, 2)
    assert (holdout.value, holdout.bought_recommended) == (pytest.approx(11.0), 0)
    assert report.outcomes == {
        "rows": 18,
        "without user_id": 1,
        "bad timestamp": 0,
        "value is not a number": 0,
        "outside the period": 2,
        "repeated": 1,
        "unknown user": 2,
        "refunds": 1,
        "counted": 12,
    }
    assert report.ratio.observed == {"recommended": 2, "holdout": 2}
    assert [(g.arm, g.rate, g.control_rate, g.broken) for g in report.guardrails] == [
        ("recommended", 0.5, 0, False)
    ]
    assert report.days == 10
    assert said == report.verdict
    assert "too few conversions after 10 days" in said
    compared = report.compared("recommended", VALUE_PER_USER)
    # Adjusted by what both arms bought before.
    assert compared is not None
    assert compared.low is None
    assert compared.p_value is None
    assert [note for note in report.notes if "1 people changed their arm" in note]
    # A retry writes the same report.
    measure("shop", "run", START + timedelta(days=10))
    assert shop.context.store(LiftStore).newest(5) == [report]
    no_record_content.append(json.dumps(report.to_json()))


def planted(
    shop: ExperimentShop, effect: float, users: int = 6000, days: int = 28, unsubscribes: float = 0.0
) -> None:
    """Enrol buyers, load their outcomes from 28 days before to some days after the start."""
    random, buyers = np.random.default_rng(4), Buyers(buying=0.8, rate=0.3, sigma=0.5)
    rates, treated = buyers.rates(random, users), random.random(users) < 0.5
    shop.enrol((f"u{n}", "recommended" if treated[n] else "holdout", 0, None) for n in range(users))
    rows: list[Row] = []
    for first, length, factor in ((-28, 28, 1.0), (0, days, 1 + effect)):
        orders = random.poisson(rates * length)
        for user in np.repeat(np.arange(users), orders):
            at = int((first + random.random() * length) * DAY)
            value = random.lognormal(3, 0.5) * (factor if treated[user] else 1.0)
            rows.append((f"u{user}", at, round(value, 2), None, None, f"o{len(rows)}"))
    left = np.flatnonzero(treated & (random.random(users) < unsubscribes))
    rows += [(f"u{user}", 3 * DAY, None, None, "unsubscribe", None) for user in left]
    stay = np.flatnonzero(~treated & (random.random(users) < 0.02))
    rows += [(f"u{user}", 3 * DAY, None, None, "unsubscribe", None) for user in stay]
    shop.load(rows)


def test_a_planted_effect_is_found_and_a_broken_guardrail_is_told(
    experiment_shop: ExperimentShop, no_record_content: list[str]
) -> None:
    shop = experiment_shop
    planted(shop, 0.3, unsubscribes=0.06)
    shop.write_program(pre_days=28, effect=0.1, guardrails={"unsubscribe": 0.5, "complaint": 0.1})
    said = measure("shop", "run", START + timedelta(days=28), days_before=6)
    report = latest(shop)
    value, share = (report.compared("recommended", metric) for metric in (VALUE_PER_USER, CONVERSION))
    assert value is not None
    assert share is not None
    assert value.relative_low is not None
    assert value.relative_high is not None
    assert value.relative_low < 0.3 < value.relative_high
    assert value.is_better
    assert value.p_value == value.p_adjusted
    assert value.p_value is not None
    assert value.p_value < 1e-4
    assert 0.3 < value.variance_reduction < 0.9
    assert not share.is_better
    assert not share.is_worse
    items = report.compared("recommended", RECOMMENDED_ITEMS)
    assert items is not None
    assert items.relative is None
    assert items.low is None
    assert said.startswith("recommended is better, proven: +")
    assert said.endswith("Guardrails are broken: unsubscribe in recommended.")
    assert [(g.event, g.broken) for g in report.guardrails] == [("unsubscribe", True), ("complaint", False)]
    assert not report.ratio.mismatch
    assert report.power.users_needed
    assert report.power.days_needed
    assert report.power.days_left == max(report.power.days_needed - 28, 0)
    # The earlier days have reports of their own, with wider intervals.
    reports = shop.context.store(LiftStore).newest(20)
    assert [each.days for each in reports] == [28, 27, 26, 25, 24, 23, 22]
    widths = [
        each.high - each.low
        for report in reports
        if (each := report.compared("recommended", VALUE_PER_USER))
        and each.high is not None
        and each.low is not None
    ]
    assert widths == sorted(widths, reverse=True)
    alerts = [text for text in no_record_content if text.startswith("alert")]
    assert any("unsubscribe rises in arm recommended of autumn" in text for text in alerts)
    # Only the days that are missing are made.
    measure("shop", "next", START + timedelta(days=29), days_before=9)
    assert [each.days for each in shop.context.store(LiftStore).newest(20)] == [
        29,
        28,
        27,
        26,
        25,
        24,
        23,
        22,
        21,
        20,
    ]


def test_people_spread_against_the_shares_are_told(
    experiment_shop: ExperimentShop, no_record_content: list[str]
) -> None:
    shop = experiment_shop
    arms = ["recommended" if n % 5 else "holdout" for n in range(2000)]
    shop.enrol((f"u{n}", arm, 0, None) for n, arm in enumerate(arms))
    shop.load([("u1", DAY, 1.0, None, None, None)])
    said = measure("shop", "run", START + timedelta(days=5))
    assert said.startswith("Do not use the figures of autumn")
    assert latest(shop).ratio.mismatch
    assert any("the people by arm of autumn do not match its shares" in text for text in no_record_content)


def test_changed_shares_are_no_mismatch(experiment_shop: ExperimentShop) -> None:
    """Half of the holdout's buckets moved: movers are left out, and newcomers follow the new shares."""
    shop = experiment_shop
    change = 2 * DAY
    rows = [(f"u{n}", "recommended", 0, None) for n in range(1000)]
    rows += [(f"u{n}", "holdout", 0, None) for n in range(1000, 1500)]
    for n in range(1500, 2000):
        rows += [(f"u{n}", "holdout", 0, change), (f"u{n}", "recommended", change, None)]
    rows += [(f"u{n}", "holdout" if n % 4 == 0 else "recommended", 3 * DAY, None) for n in range(2000, 3000)]
    shop.enrol(
        rows,
        [(0, {"recommended": 0.5, "holdout": 0.5}), (change, {"recommended": 0.75, "holdout": 0.25})],
    )
    shop.load([("u1", DAY, 1.0, None, None, None)])
    measure("shop", "run", START + timedelta(days=5))
    ratio = latest(shop).ratio
    assert ratio.expected == {"recommended": 1750.0, "holdout": 750.0}
    assert ratio.observed == {"recommended": 1750, "holdout": 750}
    assert not ratio.mismatch


def test_missing_outcomes_are_an_error_and_an_empty_day_is_told(experiment_shop: ExperimentShop) -> None:
    shop = experiment_shop
    moment = START + timedelta(days=9)
    assert measure("shop", "run", moment).startswith("Nobody is in an arm of autumn yet")
    shop.enrol([("u1", "recommended", 0, None), ("u2", "holdout", 0, None)])
    with pytest.raises(FatalError, match=r"outcomes.sql returned no row .* Nothing was compared"):
        measure("shop", "run", moment)
    shop.load([("stranger", DAY, 1.0, None, None, None)])
    with pytest.raises(FatalError, match=r"no usable one of a person of the experiment: unknown user 1\."):
        measure("shop", "run", moment)
    shop.load([("u1", day * DAY + n, 1.0, None, None, None) for day in (1, 2, 3, 5, 6, 7) for n in range(30)])
    measure("shop", "run", moment)
    notes = latest(shop).notes
    assert any(
        "Days with hardly any outcomes: 2026-09-05 (0), 2026-09-09 (0); 30 are usual" in n for n in notes
    )
    assert any("no conversions from before the experiment" in n for n in notes)


def test_outcomes_may_lack_columns_and_have_wrong_units(experiment_shop: ExperimentShop) -> None:
    shop = experiment_shop
    shop.enrol([("u1", "recommended", 0, None), ("u2", "holdout", 0, None)])
    shop.load([("u1", DAY, 1.0, "p1", "open", "o1"), ("u2", 2 * DAY, 2.0, "p1", "open", "o1")])
    shop.write_sql("SELECT user_id, at AS timestamp FROM outcomes")
    measure("shop", "run", START + timedelta(days=5))
    report = latest(shop)
    assert [(arm.converted, arm.value) for arm in report.arms] == [(1, 0.0), (1, 0.0)]
    assert "too few conversions" in report.verdict
    shop.write_sql("SELECT user_id, at * 1000 AS timestamp FROM outcomes")
    with pytest.raises(FatalError, match="returns times in milliseconds; outcomes need Unix seconds"):
        measure("shop", "run", START + timedelta(days=5))
    shop.write_sql("SELECT user_id, 'soon' AS timestamp, 'much' AS value FROM outcomes")
    with pytest.raises(FatalError, match="bad timestamp 2"):
        measure("shop", "run", START + timedelta(days=5))
    shop.write_sql("SELECT at AS timestamp FROM outcomes")
    with pytest.raises(FatalError, match="user_id"):
        measure("shop", "run", START + timedelta(days=5))


def test_a_renamed_program_keeps_its_deliveries_and_lists_that_are_gone_are_told(
    experiment_shop: ExperimentShop,
) -> None:
    shop = experiment_shop
    shop.enrol([("u1", "recommended", 0, None), ("u2", "holdout", 0, None)], programs=("former", "shop"))
    shop.deliver(0, {"u1": ["p1"]}, {"u1": "sent"}, program="former")
    shop.deliver(2, {"u1": ["p2"]}, {"u1": "sent"})
    shop.load([("u1", 1 * DAY, 1.0, "p1", None, None), ("u1", 3 * DAY, 1.0, "p2", None, None)])
    measure("shop", "run", START + timedelta(days=5))
    assert latest(shop).arms[0].bought_recommended == 2
    bucket = shop.context.bucket
    for key in bucket.keys("former/recommendations/"):
        bucket.delete(key)
    measure("shop", "run", START + timedelta(days=5))
    report = latest(shop)
    assert report.arms[0].bought_recommended == 1
    assert report.arms[0].delivered == 1
    assert any("The lists of 1 deliveries were removed" in note for note in report.notes)


def test_a_program_without_an_experiment_has_no_lift(experiment_shop: ExperimentShop) -> None:
    experiment_shop.shop.write()
    with pytest.raises(FatalError, match="shop has no experiment"):
        measure("shop", "run", START)
