"""Ask models for answers that are known in advance, and for quality on real groceries."""

import pyarrow as pa
import pytest
from engine_data import DAY, NDCG_25, START, checkerboard, groceries, recommend, table

from personalize_local.engine import Exploration, HyperparameterError, TrainingData, train

RECIPE = "aws-user-personalization"


@pytest.mark.parametrize("order", ["random", "hourly", "daily", "at once"])
@pytest.mark.parametrize(("num_users", "num_items"), [(60, 40), (100, 50), (200, 60), (30, 20)])
def test_the_withheld_item_comes_first(num_users, num_items, order):
    data, withheld = checkerboard(num_users, num_items, order)
    recommender = train(RECIPE, data, {}).recommender
    for exploration in (None, Exploration(weight=0.0), Exploration()):
        found = recommend(recommender, list(withheld), 25, exploration)
        assert [one.ids[0] for one in found] == list(withheld.values())


def test_where_nothing_is_taken_twice_own_items_come_last():
    data, withheld = checkerboard(60, 40, "random")
    found = recommend(train(RECIPE, data, {}).recommender, list(withheld), 40, None)
    for user, one in zip(withheld, found, strict=True):
        parity = int(user[1:]) % 2
        own = [int(item[1:]) % 2 == parity and item != withheld[user] for item in one.ids]
        assert own == [False] * 21 + [True] * 19


def test_what_is_taken_every_week_comes_first():
    rows = []
    for user in range(60):
        for week in range(12):
            rows.append((f"u{user}", f"habit {user % 7}", week * 7 * DAY + user))
            rows.append((f"u{user}", f"once {(user * 5 + week * 11) % 90}", week * 7 * DAY + user + 5))
    recommender = train(RECIPE, TrainingData(table(rows)), {}).recommender
    found = recommend(recommender, [f"u{user}" for user in range(60)], 5, None)
    assert [one.ids[0] for one in found] == [f"habit {user % 7}" for user in range(60)]


def test_groceries_are_found_more_than_twice_as_well_as_by_popularity():
    data = groceries(300)
    popular = train("aws-popularity-count", data, {}).metrics[NDCG_25]
    assert train(RECIPE, data, {}).metrics[NDCG_25] > 2 * popular


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"hidden_dimension": "many"}, "hidden_dimension is 'many'"),
        ({"hidden_dimension": "8"}, "32 to 256"),
        ({"bptt": "33"}, "2 to 32"),
        ({"recency_mask": "perhaps"}, "True or False"),
    ],
)
def test_malformed_hyperparameters_are_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        train(RECIPE, checkerboard(30, 20, "random")[0], hyperparameters)


def test_hyperparameters_in_range_are_taken():
    data, withheld = checkerboard(60, 40, "random")
    model = train(
        RECIPE, data, {"hidden_dimension": "32", "bptt": "8", "recency_mask": "False", "other": "x"}
    )
    found = recommend(model.recommender, list(withheld), 1, None)
    assert [one.ids[0] for one in found] == list(withheld.values())


def test_a_new_item_that_is_shown_and_ignored_gives_way_to_other_new_ones():
    users, known, new = [f"u{n}" for n in range(200)], [f"i{n}" for n in range(300)], ["new a", "new b"]
    rows = [
        (user, known[(n * 7 + step) % 300], step * DAY) for n, user in enumerate(users) for step in range(20)
    ]
    created = [START] * len(known) + [START + 19 * DAY] * len(new)
    items = pa.table({"ITEM_ID": known + new, "CREATION_TIMESTAMP": created})

    def listed(impression, *weights):
        impressions = pa.array([impression] * len(rows), pa.string())
        data = TrainingData(table(rows).append_column("IMPRESSION", impressions), items)
        recommender = train(RECIPE, data, {}).recommender
        for weight in weights:
            lists = [one.ids for one in recommend(recommender, users, 25, Exploration(weight))]
            yield [sum(item in ids for ids in lists) for item in new]

    unexplored, before = listed(None, 0.0, 1.0)
    assert min(before) > 2 * max(unexplored)
    ((ignored, other),) = listed("new a|i1", 1.0)
    assert ignored <= unexplored[0]
    assert other > before[1]
