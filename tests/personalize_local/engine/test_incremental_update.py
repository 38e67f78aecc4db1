"""Test training mode UPDATE, and the exploration of the items that it adds."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from engine_data import DAY, START, recommend, shop, shuffled, table, user_ids, with_rows

from personalize_local.engine import Exploration, RecipeError, TrainingData, load, train, update
from personalize_local.engine.catalog import describe_items
from personalize_local.engine.incremental_update import update_model
from personalize_local.engine.interactions import encode
from personalize_local.engine.precomputed import PrecomputedScores, checksums, precompute_scores
from personalize_local.engine.weights import Hyperparameters, Weights, learn


@pytest.fixture(scope="module")
def trained() -> tuple[Weights, PrecomputedScores]:
    interactions = encode(shop(300))
    weights = learn(interactions, Hyperparameters())
    return weights, precompute_scores(weights, interactions)


def later() -> TrainingData:
    """Let some buy more, a new user come, an old one go and new items be sold; sort nothing."""
    rows = [(f"kunde-{user} ü", f"artikel {user % 50}", (130 + user) * DAY) for user in range(0, 60, 3)]
    rows += [("neu", "artikel 1", 131 * DAY), ("kunde-1 ü", "a new one", 132 * DAY), ("neu", "zz", 133 * DAY)]
    data = shuffled(with_rows(shop(300), rows))
    gone = pa.compute.equal(data.interactions["USER_ID"], "kunde-7 ü")
    return replace(data, interactions=data.interactions.filter(pa.compute.invert(gone)))


def assert_alike(one: PrecomputedScores, other: PrecomputedScores) -> None:
    assert one.user_ids.equals(other.user_ids)
    for name in ("indptr", "own_item", "checksum"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    for name in ("own_score", "vector", "bias", "item_vector", "item_bias"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-3)


def test_working_out_what_changed_is_as_good_as_working_out_everything(trained):
    renewal = update_model(*trained, later())
    everything = encode(later())
    assert_alike(renewal.precomputed, precompute_scores(renewal.weights, everything))
    described = describe_items(later(), everything, renewal.weights.known)
    for name in ("users", "rows", "age_days", "created", "new"):
        assert np.array_equal(getattr(renewal.catalog, name), getattr(described, name))


def test_only_changed_users_are_worked_out(trained):
    renewal = update_model(*trained, later())
    changed = set(renewal.interactions.user_ids.take(np.unique(renewal.interactions.user)).to_pylist())
    assert changed == {f"kunde-{user} ü" for user in (*range(0, 60, 3), 1)} | {"neu"}


def test_rows_given_twice_count_once(trained):
    data = later()
    doubled = replace(
        data, interactions=pa.concat_tables([data.interactions, data.interactions.slice(0, 500)])
    )
    one, other = update_model(*trained, data), update_model(*trained, doubled)
    assert_alike(one.precomputed, other.precomputed)
    assert np.array_equal(one.catalog.rows, other.catalog.rows)


def test_an_objective_s_lift_stays(trained):
    weights, answers = trained
    lift = np.linspace(-1, 1, len(answers.item_bias)).astype(np.float32)
    lifted = replace(
        answers,
        item_bias=answers.item_bias + lift,
        own_score=np.maximum(answers.own_score + lift[answers.own_item], -2_000),
    )
    plain, renewed = (update_model(weights, old, later()).precomputed for old in (answers, lifted))
    of_item = dict(zip(weights.item_ids.to_pylist(), lift.tolist(), strict=True))
    ids = encode(later()).item_ids.to_pylist()
    expected = np.array([of_item.get(item, 0.0) for item in ids], dtype=np.float32)
    known = np.isfinite(plain.item_bias)
    assert renewed.item_bias[known] == pytest.approx((plain.item_bias + expected)[known], abs=3e-3)
    assert renewed.own_score == pytest.approx(plain.own_score + expected[plain.own_item], abs=3e-3)


def test_a_checksum_tells_rows_apart_whatever_their_order():
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 1)]
    first = checksums(encode(TrainingData(table(rows))))
    assert np.array_equal(first, checksums(encode(TrainingData(table(rows[::-1])))))
    for other in (
        [("a", "x", 1), ("a", "y", 3), ("b", "x", 1)],
        [("a", "x", 2), ("a", "y", 1), ("b", "x", 1)],
    ):
        changed = checksums(encode(TrainingData(table(other))))
        assert (changed != first).tolist() == [True, False]


RECIPE = "aws-user-personalization"
NEW = "brand new"
AT_ONCE = Exploration(weight=1.0, item_age_cut_off_days=30)


def with_new_item(data: TrainingData, created_days: int) -> TrainingData:
    ids = [*data.items["ITEM_ID"].to_pylist(), NEW]
    created = [None] * (len(ids) - 1) + [START + created_days * DAY]
    return replace(
        data, items=pa.table({"ITEM_ID": ids, "CREATION_TIMESTAMP": pa.array(created, pa.int64())})
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "full"
    train(RECIPE, shop(1_000), {}).save(path)
    return path


def takers(recommender, exploration, depth=12, data=None) -> set[str]:
    users = user_ids(data or shop(1_000))
    found = recommend(recommender, users, depth, exploration)
    return {user for user, one in zip(users, found, strict=True) if NEW in one.ids}


def test_an_update_brings_a_new_item_to_some_users_only_by_exploration(folder):
    updated = update(RECIPE, folder, with_new_item(shop(1_000), created_days=110))
    assert not takers(load(RECIPE, folder), AT_ONCE)
    assert 50 < len(takers(updated.recommender, Exploration())) < 500
    assert not takers(updated.recommender, Exploration(weight=0.0))
    assert not takers(updated.recommender, None)


def test_an_update_keeps_the_lists_of_known_items(folder):
    updated = update(RECIPE, folder, with_new_item(shop(1_000), created_days=110)).recommender
    users = user_ids(shop(1_000))
    before, after = (list(recommend(model, users, 25, None)) for model in (load(RECIPE, folder), updated))
    assert [one.ids for one in after] == [one.ids for one in before]


def test_an_item_stays_new_over_updates_until_the_next_full_training(folder, tmp_path):
    data = with_new_item(shop(1_000), created_days=110)
    bought = with_rows(data, [(f"kunde-{user} ü", NEW, 112 * DAY) for user in range(40)])
    update(RECIPE, folder, data).save(tmp_path / "first")
    update(RECIPE, tmp_path / "first", bought).save(tmp_path / "second")
    buyers = {f"kunde-{user} ü" for user in range(40)}
    assert takers(load(RECIPE, tmp_path / "second"), Exploration(), data=bought) - buyers
    trained = train(RECIPE, bought, {}).recommender
    assert next(recommend(trained, ["kunde-1 ü"], 5, AT_ONCE)).ids[0] != NEW
    assert takers(trained, None, depth=86, data=bought) - buyers


def test_an_old_item_is_not_explored(folder):
    updated = update(RECIPE, folder, with_new_item(shop(1_000), created_days=30)).recommender
    assert not takers(updated, AT_ONCE)
    assert takers(updated, replace(AT_ONCE, item_age_cut_off_days=365))


def test_exploration_never_takes_the_first_place_and_little_of_the_others(folder):
    data = with_new_item(shop(1_000), created_days=110)
    updated = update(RECIPE, folder, data).recommender
    users = user_ids(data)
    plain = list(recommend(updated, users, 25, None))
    explored = list(recommend(updated, users, 25, Exploration()))
    assert [one.ids[0] for one in plain] == [one.ids[0] for one in explored]
    replaced = [len(set(one.ids) - set(two.ids)) for one, two in zip(explored, plain, strict=True)]
    assert 0 < sum(replaced) / len(users) <= 0.3 * 0.2 * 25


def test_an_update_knows_new_users_and_new_purchases(folder):
    rows = [("somebody", "artikel 8", (100 + day) * DAY) for day in range(8)]
    updated = update(RECIPE, folder, with_rows(shop(1_000), rows)).recommender
    found = list(recommend(updated, ["somebody", "nobody"], 10, None))
    assert found[0].ids[0] == "artikel 8"
    assert found[0].ids != found[1].ids


def test_an_update_carries_accuracy_over(folder):
    full = train(RECIPE, shop(1_000), {}).metrics
    updated = update(RECIPE, folder, with_new_item(shop(1_000), created_days=110)).metrics
    assert updated.pop("coverage") > 0
    full.pop("coverage")
    assert updated == full


def test_an_update_can_be_saved_and_loaded(folder, tmp_path):
    updated = update(RECIPE, folder, with_new_item(shop(1_000), created_days=110))
    updated.save(tmp_path / "update")
    users = user_ids(shop(1_000))
    again = recommend(load(RECIPE, tmp_path / "update"), users, 25, Exploration())
    assert list(again) == list(recommend(updated.recommender, users, 25, Exploration()))


def test_items_that_left_the_data_leave_the_lists(folder):
    data = shop(1_000)
    kept = data.interactions.filter(pa.compute.not_equal(data.interactions["ITEM_ID"], "artikel 0"))
    items = data.items.filter(pa.compute.not_equal(data.items["ITEM_ID"], "artikel 0"))
    updated = update(RECIPE, folder, TrainingData(kept, items)).recommender
    for one in recommend(updated, user_ids(data), 500, None):
        assert len(one.ids) == 84
        assert "artikel 0" not in one.ids


def test_popularity_has_no_update(tmp_path):
    recipe = "aws-popularity-count"
    train(recipe, shop(), {}).save(tmp_path)
    with pytest.raises(RecipeError, match="UPDATE is not available"):
        update(recipe, tmp_path, shop())
