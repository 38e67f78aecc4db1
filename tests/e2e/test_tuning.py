"""Settings, searches and challengers: from the program file to the solutions in the account."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dag_runs import states
from services import BUCKET
from shop import FULL_UNTIL, PROGRAM, SCHEMAS, SQL, Shop

from recsync.evaluation.store import ChampionStore
from recsync.training.store import TuningStore

Run = Callable[..., Any]
FULL = {"until": FULL_UNTIL.isoformat()}
NDCG = "normalized_discounted_cumulative_gain_at_25"


def personalize(shop: Shop) -> Any:
    return shop.services.boto3("personalize")


def solutions(shop: Shop) -> dict[str, dict[str, Any]]:
    """Describe the shop's solutions, by what stands behind the program in their names."""
    client = personalize(shop)
    found = [
        client.describe_solution(solutionArn=each["solutionArn"])["solution"]
        for each in client.list_solutions()["solutions"]
        if each["name"].startswith(f"{shop.name}-")
    ]
    return {each["name"].removeprefix(f"{shop.name}-"): each for each in found}


def champion(shop: Shop) -> Any:
    from recsync.context import StageContext

    found = StageContext.of(shop.name).store(ChampionStore).read()
    assert found is not None
    return found


def pinned(shop: Shop) -> dict[str, str] | None:
    from recsync.context import StageContext

    context = StageContext.of(shop.name)
    found = context.store(TuningStore).pinned(context.program.personalize.recipe)
    return found.hyperparameters if found else None


def succeeded(run: Run, dag_id: str, **kwargs: Any) -> dict[str, str]:
    dag_run = run(dag_id, **kwargs)
    assert dag_run.state == "success", states(dag_run)
    return states(dag_run)


@pytest.mark.long(reason="trains a search and two FULL versions")
@pytest.mark.timeout(600)
def test_what_a_search_found_is_used_by_the_next_full_training(shop: Shop, run: Run) -> None:
    from recsync.training import tuning

    def write(ratio: str) -> None:
        search = f"tuning: {{max_training_jobs: 2, ranges: {{hidden_dimension: [32, 40]}}, {ratio}}}"
        shop.write_files(PROGRAM.replace("{num_results: 20}", f"{{num_results: 20, {search}}}"))

    write("min_ratio_to_champion: 0")
    with pytest.raises(tuning.NothingToTune, match="train_full first"):
        tuning.plan_tuning(shop.name, "early", FULL_UNTIL)
    tune = f"{shop.name}_tune"
    succeeded(run, f"{shop.name}_train_full", run_conf=FULL)
    first = champion(shop)
    succeeded(run, tune)
    found = solutions(shop)
    (searched,) = (each for each in found.values() if each["performHPO"])
    (version,) = personalize(shop).list_solution_versions(solutionArn=searched["solutionArn"])[
        "solutionVersions"
    ]
    arn = version["solutionVersionArn"]
    described = personalize(shop).describe_solution_version(solutionVersionArn=arn)["solutionVersion"]
    winners = described["tunedHPOParams"]["algorithmHyperParameters"]
    assert pinned(shop) == winners
    assert 32 <= int(winners["hidden_dimension"]) <= 40
    assert champion(shop) == first, "a search makes no champion"

    succeeded(run, f"{shop.name}_train_full", run_conf=FULL)
    (tuned,) = (each for name, each in solutions(shop).items() if name not in found)
    assert tuned["solutionConfig"]["algorithmHyperParameters"] == winners
    assert not tuned["performHPO"]
    assert champion(shop).solution_version_arn.startswith(tuned["solutionArn"] + "/")

    # A later search that finds nothing better than the champion.
    write("min_ratio_to_champion: 1000")
    metrics = personalize(shop).get_solution_metrics(solutionVersionArn=arn)["metrics"]
    concluded = tuning.conclude(shop.name, "later", arn, metrics)
    assert concluded["outcome"] == "not kept"
    assert f"{metrics[NDCG]:.4f}" in concluded["reason"]
    assert pinned(shop) == winners

    reset = succeeded(run, tune, run_conf={"reset": True})
    assert reset["plan"] == reset["solution_version"] == "skipped"
    assert pinned(shop) is None


@pytest.mark.timeout(600)
def test_the_better_of_two_solutions_becomes_champion_and_weights_change_in_place(
    shop: Shop, run: Run
) -> None:
    def write(weight: float) -> None:
        own = f"recipe: aws-user-personalization-v2, num_results: 20, event_weights: {{buy: {weight}}}"
        small = "{recipe: aws-user-personalization, hyperparameters: {hidden_dimension: 32}}"
        rare = "{recipe: aws-user-personalization, event_type: gift}"
        rivals = f"challengers: {{small: {small}, rare: {rare}}}, promote_best: true"
        text = PROGRAM.replace("{num_results: 20}", f"{{{own}, {rivals}}}")
        types = "CASE WHEN customer = 'c 1' THEN 'gift' ELSE 'buy' END AS event_type"
        shop.write_files(
            text, {"interactions": SQL["interactions"].replace("customer AS", f"{types}, customer AS")}
        )
        fields = [*SCHEMAS["interactions"]["fields"], {"name": "EVENT_TYPE", "type": "string"}]
        schema = {**SCHEMAS["interactions"], "fields": fields}
        (shop.include / "schemas" / shop.name / "interactions.json").write_text(json.dumps(schema))

    write(1.0)
    full = succeeded(run, f"{shop.name}_train_full", run_conf=FULL)
    # The customer with gifts has too few of them to train on.
    assert full["challenger_rare_solution_version"] == "failed"
    s3 = shop.services.boto3("s3")
    (entry,) = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{shop.name}/state/comparisons/")["Contents"]
    compared = json.loads(s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
    figures = {each["name"]: each["metrics"] for each in compared["contenders"]}
    assert figures["rare"] is None
    better = max(("", "small"), key=lambda name: figures[name][NDCG])
    assert compared["chosen"] == better
    (winner,) = (each for each in compared["contenders"] if each["name"] == better)
    assert champion(shop).solution_version_arn == winner["solution_version_arn"]
    assert champion(shop).metrics == figures[better]

    before = solutions(shop)
    write(0.25)
    succeeded(run, f"{shop.name}_setup")
    after = solutions(shop)
    assert after.keys() == before.keys()
    assert len(after) == 3
    (weighed,) = (each for each in after.values() if "eventsConfig" in each["solutionConfig"])
    asked = {"eventParametersList": [{"eventType": "buy", "weight": 0.25}]}
    assert weighed["solutionConfig"]["eventsConfig"] == asked
