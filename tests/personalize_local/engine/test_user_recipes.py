"""Hold the models that answer for users to what they share beyond the contract of all recipes."""

import pyarrow as pa
import pytest
from engine_data import DAY, recommend, shop, table, user_ids, with_rows

from personalize_local.engine import (
    Exploration,
    RecipeError,
    Recommender,
    TrainedModel,
    TrainingData,
    TrainingDataError,
    train,
)

RECIPES = ("aws-popularity-count", "aws-user-personalization", "aws-user-personalization-v2")
pytestmark = pytest.mark.parametrize("recipe", RECIPES)


@pytest.fixture(scope="module")
def trained() -> dict[str, TrainedModel]:
    return {recipe: train(recipe, shop(), {}) for recipe in RECIPES}


def lists(recommender: Recommender, users: list[str], exploration: Exploration | None = None) -> list[object]:
    return list(recommend(recommender, users, 25, exploration))


@pytest.mark.parametrize("exploration", [None, Exploration(), Exploration(1.0, 365)])
@pytest.mark.parametrize("num_results", [1, 10, 85, 500])
def test_lists_are_full_and_hold_each_catalog_item_once(recipe, trained, num_results, exploration):
    users = [*user_ids(shop()), "never seen"]
    catalog = set(shop().items["ITEM_ID"].to_pylist())
    found = list(recommend(trained[recipe].recommender, users, num_results, exploration))
    assert len(found) == len(users)
    for one in found:
        assert len(one.ids) == len(set(one.ids)) == min(num_results, len(catalog))
        assert set(one.ids) <= catalog


@pytest.mark.parametrize("exploration", [None, Exploration(1.0, 365)])
def test_scores_never_rise_and_come_exactly_where_promised(recipe, trained, exploration):
    recommender = trained[recipe].recommender
    for one in recommend(recommender, [*user_ids(shop()), "never seen"], 500, exploration):
        if not recommender.has_scores:
            assert one.scores is None
            continue
        assert len(one.scores) == len(one.ids)
        assert one.scores == sorted(one.scores, reverse=True)
        assert all(0 <= score <= 1 for score in one.scores)
        if exploration is None:
            assert sum(one.scores) == pytest.approx(1, abs=1e-3)


def test_unknown_users_get_what_most_users_took(recipe):
    rows = [(f"u{user}", f"i{item}", user + item) for user in range(30) for item in range(user % 6 + 1)]
    # Bought most often, but by one user only.
    rows += [("u0", "i9", DAY * day) for day in range(60)]
    found = next(iter(recommend(train(recipe, TrainingData(table(rows)), {}).recommender, ["new"], 7, None)))
    assert found.ids == ["i0", "i1", "i2", "i3", "i4", "i5", "i9"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop_columns(["TIMESTAMP"]), "TIMESTAMP"),
        (lambda rows: rows.slice(0, 0), "no rows"),
        (
            lambda rows: rows.set_column(0, "USER_ID", pa.nulls(rows.num_rows, pa.string())),
            "nulls in column USER_ID",
        ),
        (lambda rows: rows.set_column(2, "TIMESTAMP", pa.array(["x"] * rows.num_rows)), "epoch seconds"),
    ],
)
def test_untrainable_tables_are_refused_with_the_reason(recipe, change, message):
    with pytest.raises(TrainingDataError, match=message):
        train(recipe, TrainingData(change(shop().interactions)), {})


def test_ids_of_any_form_work(recipe):
    names = ["", " ", "naïve", "1", "01", "a,b", 'q"uote', "日本", "\U0001f34e", "x" * 300]
    rows = [
        (f"{user}{name}", names[(user + place) % 10], place)
        for user in range(8)
        for place, name in enumerate(names)
    ]
    rows += [
        (name, names[(place * 3 + step) % 10], step) for place, name in enumerate(names) for step in range(4)
    ]
    model = train(recipe, TrainingData(table(rows)), {})
    for one in recommend(model.recommender, names, 10, None):
        assert sorted(one.ids) == sorted(names)


def test_newer_data_do_not_change_a_trained_model(recipe, trained):
    users = user_ids(shop())
    before = lists(trained[recipe].recommender, users)
    train(recipe, with_rows(shop(), [(users[0], "artikel 3", 200 * DAY)]), {})
    assert lists(trained[recipe].recommender, users) == before


def test_unknown_recipes_are_refused(recipe):
    with pytest.raises(RecipeError, match=recipe):
        train("aws-hrnn", shop(), {})
