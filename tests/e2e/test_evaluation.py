"""Champion and challenger through the DAGs: a worse version is refused, a better one promoted, a rollback goes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from dag_runs import states
from shop import CUSTOMERS, FULL_UNTIL, LENIENT, PRODUCTS, PROGRAM, Shop

from recsync.evaluation.store import ChampionStore

Run = Callable[..., Any]
GATED = PROGRAM.replace(LENIENT, "").replace(
    "personalize: {", "personalize: {baseline_recipe: aws-popularity-count, "
)


def lists(shop: Shop) -> dict[str, list[str]]:
    return {
        who: [entry["id"] for entry in attributes["recs"]]
        for who, attributes in shop.services.profiles().items()
        if attributes.get("recs") and who.startswith("braze-c ")
    }


def champions(shop: Shop) -> Any:
    from recsync.context import StageContext

    return StageContext.of(shop.name).store(ChampionStore)


def deliver(shop: Shop, run: Run) -> dict[str, list[str]]:
    for stage in ("recommend", "push"):
        assert run(f"{shop.name}_{stage}").state == "success"
    return lists(shop)


def two_tastes(shop: Shop, orders: int = 25) -> None:
    """Let half of the customers buy even products only, and the others odd ones: easy to learn."""
    shop.services.execute("DELETE FROM shop.orders")
    shop.add_orders(
        [
            (f"c {c}", f"p-{(c % 2 + 2 * ((c * 3 + k * k) % (PRODUCTS // 2))) % PRODUCTS}",
             FULL_UNTIL - timedelta(hours=1 + (c * 31 + k * 17) % 700))
            for c in range(CUSTOMERS)
            for k in range(orders)
        ]
    )  # fmt: skip


def shuffle(shop: Shop) -> None:
    """Give every order to somebody else."""
    shop.services.execute(
        "UPDATE shop.orders o SET customer = s.customer FROM ("
        "  SELECT ctid, 'c ' || (abs(hashtext(ctid::text || 'x')) % 60) AS customer FROM shop.orders) s "
        "WHERE o.ctid = s.ctid"
    )


@pytest.mark.timeout(600)
def test_a_worse_version_is_refused_with_figures_a_better_one_promoted_and_a_rollback_goes_back(
    shop: Shop, run: Run
) -> None:
    shop.write_files(GATED)
    two_tastes(shop)
    assert run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()}).state == "success"
    first = champions(shop).read()
    former = deliver(shop, run)

    shuffle(shop)
    refused = run(f"{shop.name}_train_full")
    found = states(refused)
    assert (found["judge"], found["promote"]) == ("failed", "upstream_failed")
    entry = champions(shop).evaluated()[-1]
    assert entry.outcome == "refused"
    assert "normalized_discounted_cumulative_gain_at_25 is 0." in entry.reason
    assert champions(shop).read() == first

    # An UPDATE would renew the refused version.
    shop.add_products([("new", 1.0, FULL_UNTIL + timedelta(minutes=5))])
    assert run(f"{shop.name}_export", logical_date=FULL_UNTIL + timedelta(hours=1)).state == "success"
    assert states(run(f"{shop.name}_train_update"))["plan"] == "skipped"

    two_tastes(shop, orders=40)
    assert run(f"{shop.name}_train_full").state == "success"
    second = champions(shop).read()
    assert second.solution_version_arn != first.solution_version_arn
    now = deliver(shop, run)
    assert now != former

    two_tastes(shop)  # the lists leave out what was bought, so the purchases are those of then
    assert run(f"{shop.name}_rollback").state == "success"
    back = champions(shop).read()
    assert (back.solution_version_arn, back.outcome) == (first.solution_version_arn, "rolled back to")
    assert deliver(shop, run) == former
    assert run(f"{shop.name}_rollback").state == "failed", "there is no champion before the first"
    assert states(run(f"{shop.name}_train_update"))["plan"] == "skipped"


def test_a_cleared_run_does_not_bring_back_what_was_rolled_back_from(shop: Shop) -> None:
    from recsync.errors import FatalError, PromotionRefusedError
    from recsync.evaluation import promotion

    metric = {"normalized_discounted_cumulative_gain_at_25": 0.4}
    solution = f"arn:aws:personalize:us-east-1:000000000000:solution/{shop.name}-user-personalization"
    arns = [f"{solution}/{n}" for n in range(3)]
    judged = []
    for n, arn in enumerate(arns):
        judged.append(promotion.evaluate_version(shop.name, f"run-{n}", arn, "FULL", metric, None))
        promotion.promote(shop.name, judged[-1], approved_by="Ada")
    assert [entry.by for entry in champions(shop).history()] == ["Ada"] * 3
    with pytest.raises(PromotionRefusedError, match="was champion before"):
        promotion.promote(shop.name, judged[1])
    with pytest.raises(PromotionRefusedError, match="was champion before"):
        promotion.evaluate_version(shop.name, "run-1", arns[1], "FULL", metric, None)
    with pytest.raises(FatalError, match="never was champion"):
        promotion.roll_back(shop.name, "rollback", f"{solution}/9")
    with pytest.raises(FatalError, match=r"is gone in Amazon Personalize"):
        promotion.roll_back(shop.name, "rollback")
    said = promotion.reject(
        shop.name, {**judged[0], "candidate": {**judged[0]["candidate"], "run_id": "x"}}, "Bo"
    )
    assert "rejected by Bo" in said
    assert champions(shop).evaluated()[-1].outcome == "rejected"
    champion = champions(shop).read()
    assert (champion.solution_version_arn, champion.by) == (arns[2], "Ada")
    assert json.dumps(judged), "what tasks hand over is plain"


def test_a_rollback_beside_a_run_is_not_undone_by_it(shop: Shop) -> None:
    from recsync.errors import PromotionRefusedError
    from recsync.evaluation import promotion
    from recsync.evaluation.store import PromotionOutcome

    metric = {"normalized_discounted_cumulative_gain_at_25": 0.4}
    solution = f"arn:aws:personalize:us-east-1:000000000000:solution/{shop.name}-user-personalization"
    full, update, waiting, late = (f"{solution}/{n}" for n in ("full", "update", "waiting", "late"))
    promotion.promote(shop.name, promotion.evaluate_version(shop.name, "r1", full, "FULL", metric, None))
    promotion.promote(shop.name, promotion.evaluate_version(shop.name, "r2", update, "FULL", metric, None))
    # A person is asked about this one, and somebody rolls back before the answer.
    asked = promotion.evaluate_version(shop.name, "r3", waiting, "FULL", metric, None)
    first = champions(shop).history()[0]
    champions(shop).promote(replace(first, outcome=PromotionOutcome.ROLLED_BACK, run_id="back"))

    with pytest.raises(PromotionRefusedError, match=f"judged beside {update}, but the champion .* is {full}"):
        promotion.promote(shop.name, asked, approved_by="Ada")
    with pytest.raises(PromotionRefusedError, match=f"would learn again what {update} had learnt"):
        promotion.evaluate_version(shop.name, "r4", late, "UPDATE", metric, None)
    assert (champions(shop).evaluated()[-1].outcome, champions(shop).read().solution_version_arn) == (
        "refused",
        full,
    )

    again = promotion.evaluate_version(shop.name, "r3", waiting, "FULL", metric, None)
    promotion.promote(shop.name, again, approved_by="Ada")
    promotion.promote(shop.name, again, approved_by="Ada")
    assert [e.solution_version_arn for e in champions(shop).history()] == [full, update, full, waiting]


def test_an_approval_outlasts_an_update_of_the_champion_and_the_gate_compares_again(shop: Shop) -> None:
    from recsync.errors import PromotionRefusedError
    from recsync.evaluation import promotion
    from recsync.evaluation.store import Champion

    def figure(value: float) -> dict[str, float]:
        return {"normalized_discounted_cumulative_gain_at_25": value}

    shop.write_files(PROGRAM.replace(LENIENT, ""))
    solution = f"arn:aws:personalize:us-east-1:000000000000:solution/{shop.name}-user-personalization"
    arns = {name: f"{solution}/{name}" for name in ("full", "update", "better", "next", "last")}

    def promoted(name: str, mode: str, value: float) -> None:
        champions(shop).promote(Champion(arns[name], mode, "2026", name, figure(value)))

    promoted("full", "FULL", 0.30)
    asked = promotion.evaluate_version(shop.name, "r1", arns["next"], "FULL", figure(0.28), None)
    promoted("update", "UPDATE", 0.31)
    promotion.promote(shop.name, asked, approved_by="Ada")
    assert champions(shop).read().solution_version_arn == arns["next"]

    asked = promotion.evaluate_version(shop.name, "r2", arns["last"], "FULL", figure(0.28), None)
    promoted("better", "UPDATE", 0.50)
    with pytest.raises(PromotionRefusedError, match="an update of the one that it was judged beside"):
        promotion.promote(shop.name, asked, approved_by="Ada")
    assert champions(shop).read().solution_version_arn == arns["better"]


def test_updates_that_each_lose_a_little_are_refused_beside_the_full_version(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.errors import PromotionRefusedError
    from recsync.evaluation import promotion

    # Amazon Personalize does not know the versions of this test.
    monkeypatch.setattr(promotion, "update_blocker", lambda _: None)
    shop.write_files(PROGRAM.replace(LENIENT, ""))
    solution = f"arn:aws:personalize:us-east-1:000000000000:solution/{shop.name}-user-personalization"

    def judged(number: int, mode: str, value: float) -> dict[str, Any]:
        figures = {"normalized_discounted_cumulative_gain_at_25": value}
        return promotion.evaluate_version(
            shop.name, f"r{number}", f"{solution}/{number}", mode, figures, None
        )

    promotion.promote(shop.name, judged(0, "FULL", 0.3000))
    promotion.promote(shop.name, judged(1, "UPDATE", 0.2800))
    promotion.promote(shop.name, judged(2, "UPDATE", 0.2650))
    with pytest.raises(
        PromotionRefusedError, match=r"is 0\.2500, the gate asks for 0\.85 times the FULL version's 0\.3000"
    ):
        judged(3, "UPDATE", 0.2500)
    assert champions(shop).read().solution_version_arn == f"{solution}/2"
    promotion.promote(shop.name, judged(4, "FULL", 0.2500))  # other data: it descends from none of them
