"""Hold every recipe to the contract of personalize_local.engine.base."""

import json
import math
import os
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pyarrow as pa
import pytest
from engine_data import shuffled
from recipe_data import everything, questions

from personalize_local.engine import (
    TRAINABLE_RECIPES,
    Answer,
    Exploration,
    ModelFolderError,
    Options,
    Query,
    RecipeError,
    Recommender,
    TrainedModel,
    TrainingDataError,
    load,
    train,
    update,
)

ACCURACY = {
    "coverage",
    "mean_reciprocal_rank_at_25",
    "precision_at_5",
    "precision_at_10",
    "precision_at_25",
    "normalized_discounted_cumulative_gain_at_5",
    "normalized_discounted_cumulative_gain_at_10",
    "normalized_discounted_cumulative_gain_at_25",
}
SEGMENTS = {"coverage", "hits_at_1_percent", "recall_at_1_percent"}
METRICS = dict.fromkeys(TRAINABLE_RECIPES, ACCURACY) | {
    "aws-item-affinity": SEGMENTS,
    "aws-item-attribute-affinity": SEGMENTS,
    "aws-trending-now": {
        "coverage",
        "trend_prediction_accuracy",
        "trend_prediction_accuracy_of_popular_items",
    },
    "aws-semantic-similarity": {"coverage", "item_similarity", "item_popularity", "item_freshness"},
    "aws-next-best-action": {"coverage", "precision_at_5", "recall_at_5", "area_under_curve"},
}
EXPLORING = Options(Exploration(1.0, 365))
CATALOGUE = 86
pytestmark = pytest.mark.parametrize("recipe", sorted(TRAINABLE_RECIPES))


@pytest.fixture(scope="module")
def trained() -> dict[str, TrainedModel]:
    return {recipe: train(recipe, everything(), {}) for recipe in TRAINABLE_RECIPES}


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, list[object]]:
    """Return metrics and answers of all recipes as another process, with other hashes, finds them."""
    program = (
        "import json; from recipe_data import everything, questions\n"
        "from dataclasses import astuple; from personalize_local.engine import *\n"
        "data, found = everything(), {}\n"
        "for recipe in TRAINABLE_RECIPES:\n"
        "    model = train(recipe, data, {})\n"
        "    queries = questions(data, model.recommender.wants)\n"
        "    answers = model.recommender.answer(queries, 25, Options(Exploration(1.0, 365)))\n"
        "    found[recipe] = [model.metrics, [astuple(one) for one in answers]]\n"
        "print(json.dumps(found))"
    )
    paths = [str(Path(__file__).parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def ask(recommender: Recommender, num_results: int = 25, options: Options = EXPLORING) -> list[Answer]:
    queries = questions(everything(), recommender.wants)
    return list(recommender.answer(queries, num_results, options))


def size_of(recommender: Recommender) -> int:
    """Tell how many ids there are to recommend: users, actions that have not expired, or items."""
    sizes = {"segment_item": 120, "segment_attributes": 120, "action": 5}
    return sizes.get(recommender.wants, CATALOGUE)


def test_metrics_have_the_names_of_the_recipe_and_lie_between_0_and_1(recipe, trained):
    metrics = trained[recipe].metrics
    assert set(metrics) == METRICS[recipe]
    assert all(0 <= value <= 1 or name == "hits_at_1_percent" for name, value in metrics.items())
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["coverage"] > 0


@pytest.mark.parametrize("num_results", [1, 10, 500])
def test_lists_are_as_long_as_asked_and_hold_nothing_twice(recipe, trained, num_results):
    recommender = trained[recipe].recommender
    queries = questions(everything(), recommender.wants)
    found = list(recommender.answer(queries, num_results, EXPLORING))
    assert len(found) == len(queries)
    for query, one in zip(queries, found, strict=True):
        assert len(one.ids) == len(set(one.ids))
        if recommender.wants == "ranking":
            assert sorted(one.ids) == sorted(query.item_ids)
        elif one.error or query.attributes == 'ITEMS.GENRE = "nothing"':
            assert one.ids == []
        else:
            # Related items never hold the item itself; a resting action is hidden from one user.
            most = size_of(recommender) - (query.item_id == one.ids[0])
            assert min(num_results, most - 1) <= len(one.ids) <= min(num_results, most)
            assert recommender.wants == "segment_item" or query.item_id not in one.ids


def test_scores_never_rise_and_come_exactly_where_promised(recipe, trained):
    recommender = trained[recipe].recommender
    for one in ask(recommender, 500):
        assert (one.scores is None) == (not recommender.has_scores)
        if one.scores is None:
            continue
        assert one.scores == sorted(one.scores, reverse=True)
        assert all(math.isfinite(score) and 0 <= score <= 1 for score in one.scores)
        assert len(one.scores) <= len(one.ids)
        assert recommender.wants == "ranking" or len(one.scores) == len(one.ids)


def test_every_item_has_a_list_of_reasons_where_the_recipe_gives_them(recipe, trained):
    for one in ask(trained[recipe].recommender):
        if recipe == "aws-user-personalization-v2":
            assert len(one.reasons) == len(one.ids)
        else:
            assert one.reasons is None


def test_asking_alone_or_together_gives_the_same(recipe, trained):
    recommender = trained[recipe].recommender
    queries = questions(everything(), recommender.wants)
    alone = [next(recommender.answer([query], 25, EXPLORING)) for query in queries]
    assert list(recommender.answer(queries, 25, EXPLORING)) == alone


def test_no_questions_no_answers(recipe, trained):
    assert list(trained[recipe].recommender.answer([], 25, Options())) == []


def test_order_of_rows_and_duplicates_leave_no_trace(recipe, trained):
    plain = everything()
    mixed = shuffled(plain)
    rows = pa.concat_tables([mixed.interactions, plain.interactions])
    again = train(recipe, replace(plain, interactions=rows, items=mixed.items), {})
    assert again.metrics == pytest.approx(trained[recipe].metrics)
    first, second = ask(trained[recipe].recommender), ask(again.recommender)
    assert [one.ids for one in first] == [one.ids for one in second]


def test_saved_and_loaded_is_the_same(recipe, trained, tmp_path):
    trained[recipe].save(tmp_path / "model")
    loaded = load(recipe, tmp_path / "model")
    assert ask(loaded) == ask(trained[recipe].recommender)


def test_another_process_trains_the_same(recipe, trained, elsewhere):
    here = [trained[recipe].metrics, [astuple(one) for one in ask(trained[recipe].recommender)]]
    assert elsewhere[recipe] == json.loads(json.dumps(here))


def test_interactions_without_a_time_are_refused_with_the_reason(recipe):
    data = everything()
    with pytest.raises(TrainingDataError, match="TIMESTAMP"):
        train(recipe, replace(data, interactions=data.interactions.drop_columns(["TIMESTAMP"])), {})


def test_a_folder_without_its_model_is_refused(recipe, trained, tmp_path):
    with pytest.raises(ModelFolderError, match="No model"):
        load(recipe, tmp_path)
    other = sorted(TRAINABLE_RECIPES - {recipe})[0]
    trained[other].save(tmp_path)
    with pytest.raises(ModelFolderError, match=other):
        load(recipe, tmp_path)


def test_only_user_personalization_can_be_updated(recipe, trained, tmp_path):
    trained[recipe].save(tmp_path)
    if recipe == "aws-user-personalization":
        assert update(recipe, tmp_path, everything()).metrics.keys() == METRICS[recipe]
    else:
        with pytest.raises(RecipeError, match="UPDATE is not available"):
            update(recipe, tmp_path, everything())


def test_ids_of_any_form_are_answered(recipe, trained):
    wanted = trained[recipe].recommender.wants
    for text in ("naïve", 'q"uote', "\U0001f34e", "x" * 300):
        query = Query(text, text, (text,), text)
        (one,) = trained[recipe].recommender.answer([query], 5, Options())
        assert (one.error is not None) == wanted.startswith("segment")
