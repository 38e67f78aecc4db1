"""Find trends that were put into the data, and none where there are none."""

import random

import pytest
from engine_data import table

from personalize_local.engine import Options, Query, TrainingData, train

HOUR = 3_600
ACCURACY = "trend_prediction_accuracy"
POPULAR = "trend_prediction_accuracy_of_popular_items"


def shop_with_trends(trends: bool, days: int = 30, per_hour: int = 40) -> TrainingData:
    """Sell 200 items, some more than others; every day another five may sell well for two days.

    By day 40 interactions an hour, by night one.
    """
    rng = random.Random(8)
    weights = [1 / (5 + item) for item in range(200)]
    rows = []
    for hour in range(days * 24 + 6):
        fashion = [f"item {(hour // 24 - back) * 5 % 150 + 50 + n}" for back in (0, 1) for n in range(5)]
        for place in range(per_hour if 8 <= hour % 24 < 20 else 1):
            item = f"item {rng.choices(range(200), weights)[0]}"
            item = rng.choice(fashion) if trends and rng.random() < 0.3 else item
            rows.append((f"u{rng.randrange(300)}", item, hour * HOUR + place))
    return TrainingData(table(rows))


@pytest.mark.parametrize("frequency", ["30 minutes", "2 hours", "1 day"])
def test_trends_are_foretold_far_better_than_by_popularity_however_short_the_window(frequency):
    metrics = train(
        "aws-trending-now", shop_with_trends(True), {"trend_discovery_frequency": frequency}
    ).metrics
    assert metrics[ACCURACY] > 0.3
    assert metrics[ACCURACY] > 2 * metrics[POPULAR]


def test_chance_is_no_trend():
    metrics = train("aws-trending-now", shop_with_trends(False), {}).metrics
    assert metrics[ACCURACY] < 0.1
    assert metrics[POPULAR] < 0.1


def test_the_last_hours_of_a_night_do_not_hide_what_rises_since_yesterday():
    # The data end at six in the morning: the newest two hours hold two interactions.
    model = train("aws-trending-now", shop_with_trends(True), {})
    (found,) = model.recommender.answer([Query("u1")], 5, Options())
    in_fashion = {f"item {day * 5 % 150 + 50 + n}" for day in (28, 29) for n in range(5)}
    assert set(found.ids) <= in_fashion


def test_data_shorter_than_a_window_give_popular_items_and_no_accuracy():
    rows = [(f"u{user}", item, user) for user in range(9) for item in ("a", "b")[: 1 + user % 2]]
    model = train("aws-trending-now", TrainingData(table(rows)), {"trend_discovery_frequency": "1 day"})
    (found,) = model.recommender.answer([Query("u1")], 5, Options())
    assert found.ids == ["a", "b"]
    assert model.metrics[ACCURACY] == model.metrics[POPULAR] == 0


def test_one_timestamp_in_another_unit_takes_no_memory_for_the_time_between():
    rows = [(f"u{user}", item, user) for user in range(9) for item in ("a", "b")]
    model = train("aws-trending-now", TrainingData(table([*rows, ("u0", "a", 2**53)])), {})
    (found,) = model.recommender.answer([Query("u1")], 5, Options())
    assert set(found.ids) == {"a", "b"}
