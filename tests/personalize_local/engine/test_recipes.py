"""Ask every recipe for answers that are known in advance, and compare it with popularity."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from engine_data import DAY, NDCG_25, START, checkerboard, table
from recipe_data import TASTES, everything, taste_of

from personalize_local.engine import (
    HyperparameterError,
    Options,
    Query,
    TrainingData,
    TrainingDataError,
    train,
)
from personalize_local.engine.inputs import ItemText, Objective


def ask(model, queries, num_results=5, **options):
    return [one.ids for one in model.recommender.answer(queries, num_results, Options(**options))]


def baskets(num_users: int = 200, num_pairs: int = 20) -> TrainingData:
    """Let users take pairs of items that always go together, and one item that everybody takes."""
    rng = random.Random(1)
    rows = []
    for user in range(num_users):
        for step, pair in enumerate(rng.sample(range(num_pairs), 3)):
            rows += [(f"u{user}", f"{side} {pair}", step * DAY + place) for place, side in enumerate("ab")]
        rows.append((f"u{user}", "bag", 9 * DAY))
    return TrainingData(table(rows))


def test_sims_finds_the_other_half_of_every_pair():
    model = train("aws-sims", baskets(), {})
    found = ask(model, [Query(item_id=f"a {pair}") for pair in range(20)], 1)
    assert found == [[f"b {pair}"] for pair in range(20)]


def test_sims_favours_popular_items_without_a_discount_and_rare_ones_with_the_full_one():
    model = train("aws-sims", baskets(), {"popularity_discount_factor": "0"})
    assert {*ask(model, [Query(item_id="a 3")], 2)[0]} == {"bag", "b 3"}
    model = train("aws-sims", baskets(), {"popularity_discount_factor": "1"})
    assert ask(model, [Query(item_id="a 3")], 25)[0].index("b 3") == 0


def test_sims_counts_only_what_occurs_together_often_enough():
    rows = [
        (f"u{user}", item, step) for user in range(30) for step, item in enumerate(("bag", f"own {user}"))
    ]
    rows += [(f"u{user}", item, step) for user in range(2) for step, item in enumerate(("x", "y"))]
    few = train("aws-sims", TrainingData(table(rows)), {"min_cointeraction_count": "2"})
    many = train("aws-sims", TrainingData(table(rows)), {"min_cointeraction_count": "3"})
    assert ask(few, [Query(item_id="x")], 1) == [["y"]]
    assert ask(many, [Query(item_id="x")], 1) == [["bag"]]


def test_sims_trusts_many_shared_users_more_than_all_of_a_few():
    rows = [(f"few{user}", item, 0) for user in range(3) for item in ("x", "rare")]
    rows += [(f"many{user}", item, 0) for user in range(40) for item in ("x", "usual")]
    rows += [(f"other{user}", "usual", 0) for user in range(20)]
    rows += [(f"neither{user}", item, 0) for user in range(40) for item in ("y", "z")]
    model = train("aws-sims", TrainingData(table(rows)), {"popularity_discount_factor": "1"})
    # By lift alone "rare", of whose users all took "x", would come first.
    assert ask(model, [Query(item_id="x")], 2) == [["usual", "rare"]]


def test_similar_items_without_a_discount_are_about_as_good_as_popular_ones_where_nothing_is_related():
    rng = random.Random(6)
    weights = [1 / (1 + item) for item in range(60)]
    rows = [
        (f"u{user}", f"i{item:02}", place)
        for user in range(400)
        for place, item in enumerate(rng.choices(range(60), weights, k=12))
    ]
    popular = train("aws-popularity-count", TrainingData(table(rows)), {}).metrics[NDCG_25]
    assert train("aws-similar-items", TrainingData(table(rows)), {}).metrics[NDCG_25] > 0.9 * popular


@pytest.mark.parametrize("recipe", ["aws-sims", "aws-similar-items"])
def test_related_items_are_found_better_than_by_popularity(recipe):
    popular = train("aws-popularity-count", checkerboard(200, 60, "random")[0], {}).metrics[NDCG_25]
    assert train(recipe, checkerboard(200, 60, "random")[0], {}).metrics[NDCG_25] > 1.5 * popular


def test_similar_items_stay_within_the_taste_and_take_cold_items_in():
    model = train("aws-similar-items", everything(), {"popularity_discount_factor": "0.5"})
    warm, cold = ask(model, [Query(item_id="artikel 6"), Query(item_id="new thing 2")], 15)
    for found in (warm, cold):
        assert [taste_of(item) for item in found] == [taste_of("artikel 6")] * 15
    # "artikel 82" was never taken, so only its metadata can have brought it up.
    assert "artikel 82" in ask(model, [Query(item_id="new thing 2")], 25)[0]


def test_semantic_similarity_finds_the_twin_and_moves_popular_and_fresh_ones_forward():
    texts = ["red apple juice", "juice of red apple", "apple juice", "green tea", "steel hammer", "nails"]
    items = pa.table(
        {
            "ITEM_ID": [f"i{place}" for place in range(6)],
            "TITLE": texts,
            "TEXT": [f"<b>{text}</b> for you" for text in texts],
            "CREATION_TIMESTAMP": pa.array([START + place * DAY for place in range(6)], pa.int64()),
        }
    )
    rows = [(f"u{user}", item, user) for user in range(20) for item in ("i2", "i5")]
    data = TrainingData(table(rows), items, item_text=ItemText("TITLE", "TEXT"))
    model = train("aws-semantic-similarity", data, {})
    assert ask(model, [Query(item_id="i0")], 2) == [["i1", "i2"]]
    assert ask(model, [Query(item_id="i0")], 2, ranking_influence={"POPULARITY": 1.0}) == [["i2", "i1"]]
    assert ask(model, [Query(item_id="i0")], 1, ranking_influence={"FRESHNESS": 1.0}) == [["i2"]]
    alone = TrainingData(table(rows).slice(0, 0), items, item_text=ItemText("TITLE", "TEXT"))
    assert ask(train("aws-semantic-similarity", alone, {}), [Query(item_id="i0")], 1) == [["i1"]]
    with pytest.raises(TrainingDataError, match="itemName"):
        train("aws-semantic-similarity", TrainingData(table(rows), items), {})


def test_trending_finds_what_rises_and_not_what_is_popular():
    rng = random.Random(3)
    rows = [(f"u{rng.randrange(90)}", "classic", hour * 3_600 + n) for hour in range(72) for n in range(20)]
    rows += [(f"u{n}", "riser", 71 * 3_600 + n) for n in range(15)]
    rows += [(f"u{n}", "has been", 40 * 3_600 + n) for n in range(60)]
    model = train("aws-trending-now", TrainingData(table(rows)), {"trend_discovery_frequency": "1 hour"})
    assert ask(model, [Query("u1"), Query("nobody")], 3) == [["riser", "classic", "has been"]] * 2
    with pytest.raises(HyperparameterError, match="trend_discovery_frequency"):
        train("aws-trending-now", TrainingData(table(rows)), {"trend_discovery_frequency": "1 week"})


@pytest.mark.parametrize("recipe", ["aws-personalized-ranking", "aws-personalized-ranking-v2"])
def test_ranking_puts_the_withheld_item_before_popular_ones_of_the_other_kind(recipe):
    data, withheld = checkerboard(100, 40, "random")
    model = train(recipe, data, {})
    queries = []
    for user, item in withheld.items():
        others = [f"i{n}" for n in range(40) if n % 2 != int(item[1:]) % 2]
        queries.append(Query(user, item_ids=(*others, item, "unknown")))
    for query, (user, item) in zip(queries, withheld.items(), strict=True):
        (one,) = model.recommender.answer([query], 25, Options())
        assert one.ids[0] == item, user
        assert one.ids[-1] == "unknown"
        assert len(one.scores) == len(one.ids) - 1
        assert sum(one.scores) == pytest.approx(1)
    (stranger,) = model.recommender.answer([Query("nobody", item_ids=tuple(others))], 25, Options())
    users = {i: sum(i != w for u, w in withheld.items() if int(u[1:]) % 2 == int(i[1:]) % 2) for i in others}
    assert [users[item] for item in stranger.ids] == sorted(users.values(), reverse=True)


@pytest.mark.parametrize("recipe", ["aws-item-affinity", "aws-item-attribute-affinity"])
def test_segments_hold_the_users_of_the_taste(recipe):
    model = train(recipe, everything(), {})
    for taste in TASTES:
        item = f"artikel {8 + TASTES.index(taste)}"
        query = Query(item_id=item, attributes=f'ITEMS.GENRE = "{taste}"')
        (found,) = ask(model, [query], 30)
        assert len(found) == 30
        # Thirty of the 120 users have each taste; the most active users would be a quarter right.
        assert sum(taste_of(user) == taste for user in found) >= 23
    # Two users make up 1 % of 120, so no more than 2 of some 30 takers can be found at all.
    assert model.metrics["hits_at_1_percent"] > 0.5


def test_segments_of_expressions_that_cannot_be_read_say_why():
    model = train("aws-item-attribute-affinity", everything(), {})
    texts = ["", "GENRE = 'x'", 'ITEMS.GENRE > "x"', 'ITEMS.NOTHING = "x"', 'ITEMS.TEXT = "x"']
    texts += ['ITEMS.GENRE = "a" OR ITEMS.GENRE = "b"']
    answers = list(model.recommender.answer([Query(attributes=text) for text in texts], 5, Options()))
    assert all(one.ids == [] and one.error.startswith("User error: ") for one in answers)
    assert "no column NOTHING" in answers[3].error
    both = ['ITEMS.GENRE = "books" AND ITEMS.GENRE = "all"', "items.genre=\"books\" and ITEMS.GENRE='all'"]
    first, second = ask(model, [Query(attributes=text) for text in both])
    assert first == second == ask(model, [Query(attributes='ITEMS.GENRE = "books"')])[0]


def test_next_best_action_is_that_of_the_taste_and_never_expired_or_resting():
    data = everything()
    model = train("aws-next-best-action", data, {})
    users = sorted(set(data.interactions["USER_ID"].to_pylist()))
    found = ask(model, [Query(user) for user in users], 1)
    right = sum(one == [f"try {taste_of(user)}"] for user, one in zip(users, found, strict=True))
    assert right >= 0.95 * len(users)
    everyone = ask(model, [Query(user) for user in users], 10)
    assert not any("expired" in one for one in everyone)
    assert [user for user, one in zip(users, everyone, strict=True) if "rest" not in one] == [users[0]]
    assert model.metrics["area_under_curve"] > 0.6


def test_next_best_action_knows_users_without_actions_by_their_taste():
    data = everything()
    known = [user for user in data.action_interactions["USER_ID"].unique().to_pylist() if user[7] != "9"]
    kept = pa.compute.is_in(data.action_interactions["USER_ID"], pa.array(known))
    part = TrainingData(
        data.interactions,
        data.items,
        actions=data.actions,
        action_interactions=data.action_interactions.filter(kept),
    )
    others = sorted(set(data.interactions["USER_ID"].to_pylist()) - set(known))
    found = ask(train("aws-next-best-action", part, {}), [Query(user) for user in others], 1)
    right = [one == [f"try {taste_of(user)}"] for user, one in zip(others, found, strict=True)]
    assert np.mean(right) >= 0.8


def test_reasons_tell_popular_items_from_personal_ones():
    model = train("aws-user-personalization-v2", everything(), {"apply_recency_bias": "false"})
    known, unknown = model.recommender.answer([Query("kunde-1 ü"), Query("nobody")], 3, Options())
    assert known.reasons == [[], [], []]
    assert unknown.reasons == [["Popular item"]] * 3


@pytest.mark.parametrize(
    ("recipe", "name", "value"),
    [
        ("aws-sims", "min_cointeraction_count", "11"),
        ("aws-sims", "popularity_discount_factor", "much"),
        ("aws-similar-items", "item_id_hidden_dim", "10"),
        ("aws-next-best-action", "action_optimization_period", "1"),
        ("aws-user-personalization-v2", "apply_recency_bias", "perhaps"),
        ("aws-item-affinity", "hidden_dimension", "8"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_by_name(recipe, name, value):
    with pytest.raises(HyperparameterError, match=name):
        train(recipe, everything(), {name: value})


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-personalized-ranking"])
def test_an_objective_brings_dear_items_forward(recipe):
    data = everything()
    prices = dict(zip(data.items["ITEM_ID"].to_pylist(), data.items["PRICE"].to_pylist(), strict=True))
    means = []
    for sensitivity in ("OFF", "LOW", "HIGH"):
        model = train(recipe, replace(data, objective=Objective("PRICE", sensitivity)), {})
        assert 0 < model.metrics["average_rewards_at_k"] <= 1
        queries = [Query(f"kunde-{user} ü", item_ids=tuple(prices)) for user in range(60)]
        means.append(np.mean([[prices[item] for item in ids[:5]] for ids in ask(model, queries, 5)]))
    assert means[0] < means[1] < means[2]
