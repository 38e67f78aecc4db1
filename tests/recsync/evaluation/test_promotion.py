"""How a version becomes champion, what keeps it from that, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from stage_shop import NDCG, SOLUTION_ARN, StageShop

from recsync.errors import FatalError, PromotionRefusedError
from recsync.evaluation.promotion import evaluate_version, promote, reject, roll_back
from recsync.evaluation.store import ChampionStore, PromotionOutcome


def evaluated(version: str, ndcg: float = 0.5, mode: str = "FULL") -> dict[str, Any]:
    return evaluate_version("shop", f"run {version}", f"{SOLUTION_ARN}/{version}", mode, {NDCG: ndcg}, None)


def champion(shop: StageShop) -> str:
    found = shop.context.store(ChampionStore).read()
    return found.solution_version_arn.rsplit("/", 1)[-1] if found else ""


def test_a_version_that_passes_becomes_champion_once(stage_shop: StageShop) -> None:
    judged = evaluated("1")
    assert judged["champion"] == "none"
    assert "0.5000" in judged["table"]
    assert champion(stage_shop) == ""
    for _ in range(2):
        assert promote("shop", judged, approved_by="Ada")["by"] == "Ada"
    assert [each.run_id for each in stage_shop.context.store(ChampionStore).history()] == ["run 1"]


def test_a_worse_version_is_refused_with_the_figures_and_the_champion_stays(stage_shop: StageShop) -> None:
    stage_shop.promote("1", ndcg=0.5)
    with pytest.raises(
        PromotionRefusedError, match=r"/2 does not become champion: .*0\.1000.*0\.5000"
    ) as why:
        evaluated("2", ndcg=0.1)
    assert f"The champion stays {SOLUTION_ARN}/1. Look at the data, or change gate" in str(why.value)
    assert champion(stage_shop) == "1"
    refused = stage_shop.context.store(ChampionStore).evaluated()[-1]
    assert refused.outcome is PromotionOutcome.REFUSED
    assert "0.1000" in refused.reason


def test_a_cleared_run_does_not_bring_back_a_former_champion(stage_shop: StageShop) -> None:
    judged = evaluated("1")
    promote("shop", judged)
    stage_shop.promote("2")
    for again in (lambda: evaluated("1"), lambda: promote("shop", judged)):
        with pytest.raises(PromotionRefusedError, match=r"was champion before.*shop_rollback does"):
            again()
    assert champion(stage_shop) == "2"


def test_another_champion_since_the_evaluation_asks_for_a_new_one(stage_shop: StageShop) -> None:
    stage_shop.promote("1")
    judged = evaluated("3")
    stage_shop.promote("2")
    with pytest.raises(
        PromotionRefusedError, match=r"judged beside .*/1, but the champion of shop is .*/2 since"
    ):
        promote("shop", judged)
    assert champion(stage_shop) == "2"


def test_an_update_of_the_champion_since_the_evaluation_is_compared_again(stage_shop: StageShop) -> None:
    stage_shop.promote("1", ndcg=0.5)
    judged = evaluated("3", ndcg=0.5)
    stage_shop.promote("2", ndcg=0.9, mode="UPDATE")
    with pytest.raises(PromotionRefusedError, match=r"0\.5000.*0\.9000.*an update of the one"):
        promote("shop", judged)
    stage_shop.promote("2b", ndcg=0.5, mode="UPDATE")
    promote("shop", judged)
    assert champion(stage_shop) == "3"


def test_an_update_after_a_rollback_is_refused(stage_shop: StageShop) -> None:
    stage_shop.promote("1")
    stage_shop.promote("2")
    stage_shop.personalize.on("DescribeSolutionVersion", {"solutionVersion": {"status": "ACTIVE"}})
    roll_back("shop", "rollback")
    with pytest.raises(PromotionRefusedError, match=r"The champion was rolled back to .*/1"):
        evaluated("3", mode="UPDATE")


@pytest.mark.parametrize(("by", "reason"), [("Ada", "rejected by Ada"), ("", "nobody approved it in time")])
def test_a_rejection_is_recorded_with_its_reason(stage_shop: StageShop, by: str, reason: str) -> None:
    stage_shop.promote("1")
    text = reject("shop", evaluated("2"), by)
    assert (
        text == f"{SOLUTION_ARN}/2 does not become champion: {reason}. The champion stays {SOLUTION_ARN}/1."
    )
    rejected = stage_shop.context.store(ChampionStore).evaluated()[-1]
    assert (rejected.outcome, rejected.by, rejected.reason) == (PromotionOutcome.REJECTED, by, reason)
    assert champion(stage_shop) == "1"


def test_each_rollback_goes_one_champion_further_back(stage_shop: StageShop) -> None:
    with pytest.raises(FatalError, match="has no champion; run shop_train_full first"):
        roll_back("shop", "early")
    for version in ("1", "2", "3"):
        stage_shop.promote(version)
    stage_shop.personalize.on("DescribeSolutionVersion", {"solutionVersion": {"status": "ACTIVE"}})
    first = roll_back("shop", "a", by="Ada")
    assert champion(stage_shop) == "2"
    assert (first["by"], first["reason"]) == ("Ada", f"instead of {SOLUTION_ARN}/3")
    assert roll_back("shop", "a") == first, "a retry of the run changes nothing"
    roll_back("shop", "b")
    assert champion(stage_shop) == "1"
    with pytest.raises(FatalError, match="is the first champion of shop; there is none before it"):
        roll_back("shop", "c")
    roll_back("shop", "d", version=f"{SOLUTION_ARN}/3")
    assert champion(stage_shop) == "3"


def test_a_rollback_needs_a_former_champion_that_is_still_active(stage_shop: StageShop) -> None:
    stage_shop.promote("1")
    stage_shop.promote("2")
    with pytest.raises(FatalError, match=r"never was champion of shop; those were .*/1, .*/2\."):
        roll_back("shop", "run", version=f"{SOLUTION_ARN}/7")
    refusal = stage_shop.personalize.refusal("ResourceNotFoundException")
    stage_shop.personalize.on("DescribeSolutionVersion", refusal)
    with pytest.raises(FatalError, match="/1 is gone in Amazon Personalize; roll back to another version"):
        roll_back("shop", "run")
    stage_shop.personalize.on("DescribeSolutionVersion", {"solutionVersion": {"status": "CREATE FAILED"}})
    with pytest.raises(FatalError, match="is CREATE FAILED in"):
        roll_back("shop", "run")
    assert champion(stage_shop) == "2"
