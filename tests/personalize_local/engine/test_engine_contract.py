"""Hold every model to the contract of personalize_local.engine.base."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from engine_data import DAY, shop, shuffled, table, user_ids, with_rows

from personalize_local.engine import (
    TRAINABLE_RECIPES,
    Exploration,
    ModelFolderError,
    RecipeError,
    Recommender,
    TrainedModel,
    TrainingData,
    TrainingDataError,
    load,
    train,
)

METRICS = {
    "coverage",
    "mean_reciprocal_rank_at_25",
    "precision_at_5",
    "precision_at_10",
    "precision_at_25",
    "normalized_discounted_cumulative_gain_at_5",
    "normalized_discounted_cumulative_gain_at_10",
    "normalized_discounted_cumulative_gain_at_25",
}
pytestmark = pytest.mark.parametrize("recipe", sorted(TRAINABLE_RECIPES))


@pytest.fixture(scope="module")
def trained() -> dict[str, TrainedModel]:
    return {recipe: train(recipe, shop(), {}) for recipe in TRAINABLE_RECIPES}


def lists(recommender: Recommender, users: list[str], exploration: Exploration | None = None) -> list[object]:
    return list(recommender.recommend(users, 25, exploration))


def test_metrics_have_the_service_s_names_and_lie_between_0_and_1(recipe, trained):
    metrics = trained[recipe].metrics
    assert set(metrics) == METRICS
    assert all(0 < value <= 1 for value in metrics.values())


@pytest.mark.parametrize("exploration", [None, Exploration(), Exploration(1.0, 365)])
@pytest.mark.parametrize("num_results", [1, 10, 85, 500])
def test_lists_are_full_and_hold_each_catalogue_item_once(recipe, trained, num_results, exploration):
    users = [*user_ids(shop()), "never seen"]
    catalogue = set(shop().items["ITEM_ID"].to_pylist())
    found = list(trained[recipe].recommender.recommend(users, num_results, exploration))
    assert [one.user_id for one in found] == users
    for one in found:
        assert len(one.item_ids) == len(set(one.item_ids)) == min(num_results, len(catalogue))
        assert set(one.item_ids) <= catalogue


@pytest.mark.parametrize("exploration", [None, Exploration(1.0, 365)])
def test_scores_never_rise_and_come_exactly_where_promised(recipe, trained, exploration):
    recommender = trained[recipe].recommender
    for one in recommender.recommend([*user_ids(shop()), "never seen"], 500, exploration):
        if not recommender.has_scores:
            assert one.scores is None
            continue
        assert len(one.scores) == len(one.item_ids)
        assert one.scores == sorted(one.scores, reverse=True)
        assert all(0 <= score <= 1 for score in one.scores)
        if exploration is None:
            assert sum(one.scores) == pytest.approx(1, abs=1e-3)


def test_unknown_users_get_what_most_users_took(recipe):
    rows = [(f"u{user}", f"i{item}", user + item) for user in range(30) for item in range(user % 6 + 1)]
    # Bought most often, but by one user only.
    rows += [("u0", "i9", DAY * day) for day in range(60)]
    found = next(iter(train(recipe, TrainingData(table(rows)), {}).recommender.recommend(["new"], 7, None)))
    assert found.item_ids == ["i0", "i1", "i2", "i3", "i4", "i5", "i9"]


def test_asking_alone_or_together_gives_the_same(recipe, trained):
    users = user_ids(shop())
    together = lists(trained[recipe].recommender, users, Exploration())
    alone = [lists(trained[recipe].recommender, [user], Exploration())[0] for user in users]
    assert together == alone


def test_no_users_no_lists(recipe, trained):
    assert lists(trained[recipe].recommender, []) == []


def test_order_of_rows_and_duplicates_leave_no_trace(recipe, trained):
    data = shuffled(shop())
    doubled = TrainingData(pa.concat_tables([data.interactions, shop().interactions]), data.items)
    again = train(recipe, doubled, {})
    assert again.metrics == trained[recipe].metrics
    users = user_ids(shop())
    assert lists(again.recommender, users, Exploration()) == lists(
        trained[recipe].recommender, users, Exploration()
    )


def test_saved_and_loaded_is_the_same(recipe, trained, tmp_path):
    trained[recipe].save(tmp_path / "model")
    loaded = load(recipe, tmp_path / "model")
    users = [*user_ids(shop()), "never seen"]
    assert lists(loaded, users, Exploration()) == lists(trained[recipe].recommender, users, Exploration())
    assert loaded.has_scores == trained[recipe].recommender.has_scores


def test_another_process_trains_the_same(recipe, trained):
    program = (
        "import json, sys; from engine_data import shop, user_ids; from personalize_local.engine import *\n"
        "model = train(sys.argv[1], shop(), {})\n"
        "found = model.recommender.recommend(user_ids(shop()), 25, Exploration())\n"
        "print(json.dumps([model.metrics, [[one.item_ids, one.scores] for one in found]]))"
    )
    paths = [str(Path(__file__).parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", program, recipe], env=environment, capture_output=True, text=True, check=True
    )
    found = trained[recipe].recommender.recommend(user_ids(shop()), 25, Exploration())
    assert json.loads(done.stdout) == [trained[recipe].metrics, [[one.item_ids, one.scores] for one in found]]


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


def test_a_folder_without_its_model_is_refused(recipe, trained, tmp_path):
    with pytest.raises(ModelFolderError, match="No model"):
        load(recipe, tmp_path)
    (other,) = TRAINABLE_RECIPES - {recipe}
    trained[other].save(tmp_path)
    with pytest.raises(ModelFolderError, match=other):
        load(recipe, tmp_path)


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
    for one in model.recommender.recommend(names, 10, None):
        assert sorted(one.item_ids) == sorted(names)


def test_newer_data_do_not_change_a_trained_model(recipe, trained):
    users = user_ids(shop())
    before = lists(trained[recipe].recommender, users)
    train(recipe, with_rows(shop(), [(users[0], "artikel 3", 200 * DAY)]), {})
    assert lists(trained[recipe].recommender, users) == before


def test_unknown_recipes_are_refused(recipe):
    with pytest.raises(RecipeError, match=recipe):
        train("aws-hrnn", shop(), {})
