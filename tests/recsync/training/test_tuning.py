"""When what a search found is pinned, and which solutions use it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from stage_shop import ARN, NDCG, StageShop

from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.training import tuning
from recsync.training.store import TuningStore

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
SEARCHED = f"{ARN}solution/shop-searching/1"
FOUND = {"training.bptt": "21", "hidden_dimension": "64", "of_no_recipe": "1"}
WINNERS = {"bptt": "21", "hidden_dimension": "64"}
GROUP = f"{ARN}dataset-group/shop"


@pytest.fixture
def shop(stage_shop: StageShop) -> StageShop:
    stage_shop.write(personalize={"tuning": {}})
    answer = {"solutionVersion": {"tunedHPOParams": {"algorithmHyperParameters": FOUND}}}
    stage_shop.personalize.on("DescribeSolutionVersion", answer)
    return stage_shop


def conclude(run: str = "run", ndcg: float = 0.5) -> dict[str, Any]:
    return tuning.conclude("shop", run, SEARCHED, {NDCG: ndcg})


def test_a_search_needs_imported_data_and_has_one_name_per_run(shop: StageShop) -> None:
    with pytest.raises(tuning.NothingToTune, match="run shop_train_full first"):
        tuning.plan_tuning("shop", "run", NOW)
    shop.context.store(ImportStore).change(lambda _: DatasetState({DatasetType.INTERACTIONS: LastFull(NOW)}))
    plan, other = (tuning.plan_tuning("shop", run, NOW) for run in ("run", "other"))
    assert plan["mode"] == "TUNE"
    name = tuning.version_name("shop", plan)
    assert name.startswith("shop-tune-")
    assert name == tuning.version_name("shop", plan) != tuning.version_name("shop", other)


def test_winners_are_pinned_and_used_until_a_reset(shop: StageShop) -> None:
    before = tuning.current_solutions(shop.context)[""]
    concluded = conclude()
    assert (concluded["outcome"], concluded["hyperparameters"]) == ("pinned", WINNERS)
    assert concluded["reason"] == f"{NDCG} is 0.5000, and there is no champion to compare it with"
    tuned = tuning.current_solutions(shop.context)[""]
    assert tuned.config["algorithmHyperParameters"] == WINNERS
    assert tuned.name != before.name
    names = tuning.solution_names(shop.context)
    assert tuned.name in names
    assert len(names) == 2, "the searching solution is in use too"

    assert "'bptt': '21'" in tuning.reset("shop", "later")
    assert tuning.current_solutions(shop.context)[""] == before
    assert "forgotten: nothing" in tuning.reset("shop", "again")


@pytest.mark.parametrize(
    ("ratio", "ndcg", "outcome", "reason"),
    [
        (1.0, 0.4, "not kept", "the champion's is 0.5000; personalize.tuning.min_ratio_to_champion is 1"),
        (0.8, 0.4, "pinned", f"{NDCG} is 0.4000, the champion's is 0.5000"),
        (1.0, 0.5, "pinned", f"{NDCG} is 0.5000, the champion's is 0.5000"),
    ],
)
def test_winners_are_compared_with_the_champion(
    shop: StageShop, ratio: float, ndcg: float, outcome: str, reason: str
) -> None:
    shop.write(personalize={"tuning": {"min_ratio_to_champion": ratio}})
    shop.promote("1", ndcg=0.5)
    concluded = conclude(ndcg=ndcg)
    assert concluded["outcome"] == outcome
    assert concluded["reason"].endswith(reason)
    pinned = shop.context.store(TuningStore).pinned("aws-user-personalization")
    assert (pinned is not None) == (outcome == "pinned")


def test_a_search_without_winners_or_without_the_figure_is_not_kept(shop: StageShop) -> None:
    concluded = tuning.conclude("shop", "run", SEARCHED, {"coverage": 0.5})
    assert concluded["outcome"] == "not kept"
    assert concluded["reason"] == f"GetSolutionMetrics has no {NDCG}; it has coverage"
    shop.personalize.on("DescribeSolutionVersion", {"solutionVersion": {}})
    assert "names no tuned hyperparameters" in conclude("later")["reason"]


def test_an_existing_solution_is_adopted_with_the_weights_it_has(stage_shop: StageShop) -> None:
    recipe = "aws-user-personalization-v2"
    context = stage_shop.write(personalize={"recipe": recipe, "event_weights": {"buy": 0.5}})
    asked = {"eventParametersList": [{"eventType": "buy", "weight": 0.5}]}
    present = {"eventParametersList": [{"eventType": "buy", "weight": 1.0}]}
    absent = stage_shop.personalize.refusal("ResourceNotFoundException")
    described = {"solution": {"solutionConfig": {"eventsConfig": present}}}
    for answer, weights in ((absent, asked), (described, present)):
        stage_shop.personalize.on("DescribeSolution", answer)
        arguments = tuning.solution_settings("shop", GROUP)
        assert arguments["config"]["eventsConfig"] == weights
        assert arguments["name"] == tuning.current_solutions(context)[""].name


def test_the_settings_of_compared_solutions_are_named_by_challenger(stage_shop: StageShop) -> None:
    recipe = "aws-user-personalization"
    rival = {"recipe": recipe, "event_type": "buy"}
    context = stage_shop.write(personalize={"hyperparameters": {"bptt": 8}, "challengers": {"rival": rival}})
    assert tuning.compared_solutions(context) == {
        "": (recipe, {"algorithmHyperParameters": {"bptt": "8"}}),
        "rival": (recipe, {"eventType": "buy"}),
    }
