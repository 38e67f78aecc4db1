"""An experiment through the DAGs: a challenger's job beside the champion's, popular items, and held-out people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from dag_runs import states
from meters import booked, metered, used
from shop import CUSTOMERS, FULL_UNTIL, PROGRAM, Shop

ARMS = {
    "best": {"share": 0.3, "gets": "champion"},
    "count": {"share": 0.2, "gets": {"challenger": "count"}},
    "popular": {"share": 0.2, "gets": "popular"},
    "out": {"share": 0.2, "gets": "nothing"},
    # One bucket of 10,000: nobody, so its job is skipped.
    "few": {"share": 0.0001, "gets": {"challenger": "count"}},
}
FILTER = "INCLUDE ItemID WHERE Items.PRICE <= $BUDGET"
SQL = {
    "audience": """
        SELECT DISTINCT customer AS user_id, 'SHOP-' || customer AS external_id, 20 AS budget FROM shop.orders
    """,
    "outcomes": """
        SELECT customer AS user_id, {{ epoch('at') }} AS timestamp, 1.0 AS value FROM shop.orders
        WHERE at >= '{{ data_interval_start }}' AND at < '{{ data_interval_end }}'
    """,
}


def write(shop: Shop) -> None:
    experiment = {"name": f"{shop.name}-e", "arms": ARMS}
    challengers = "{num_results: 20, challengers: {count: {recipe: aws-popularity-count}}}"
    program = PROGRAM.replace("{num_results: 20}", challengers)
    filters = {"recommend": {"expression": FILTER, "values": {"BUDGET": "budget"}}}
    attributes = [{"name": f"recs_{source}", "from": source} for source in ("arm", "version")]
    program += f"  attributes: {json.dumps(attributes)}\n"
    program += f"experiment: {json.dumps(experiment)}\nfilters: {json.dumps(filters)}\n"
    # People of this test alone: verify takes a list that another test's program wrote to somebody held out for drift.
    shop.write_files(program, SQL | {"audience": SQL["audience"].replace("SHOP", shop.name)})


def writes_of(shop: Shop) -> dict[str, int]:
    """Count the sandbox's writes by person."""
    shop.services.profiles()
    answer = requests.get(f"{shop.services.braze}/_local/writes", params={"min": 1}, timeout=30)
    return dict(answer.json()["by_user"])


@pytest.mark.timeout(600)
def test_each_arm_gets_its_own_and_held_out_people_nothing(
    shop: Shop, run: Callable[..., Any], tmp_path: Path
) -> None:
    from recsync.context import StageContext
    from recsync.explain.explain import explain
    from recsync.push.store import Deliveries
    from recsync.recommend.recommend import publish_output
    from recsync.recommend.store import RecommendationsStore

    write(shop)
    before = metered(shop.services)
    assert run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()}).state == "success"
    done = run(f"{shop.name}_recommend")
    found = states(done)
    assert done.state == "success", found
    assert (found["batch_inference[0]"], found["batch_inference_arm_count[0]"]) == ("success", "success")
    assert (found["ask_arm_few"], found["batch_inference_arm_few"]) == ("skipped", "skipped")

    published, context = shop.published(), StageContext.of(shop.name)
    store = context.store(RecommendationsStore)
    manifest = store.manifest(str(store.latest_run()))
    arms = {who: row["arm"] for who, row in published.lists.items()}
    assert manifest.arms == {arm: list(arms.values()).count(arm) for arm in ARMS}
    assert all(manifest.arms[arm] for arm in ("best", "count", "popular", "out"))
    assert (
        manifest.questions == manifest.answered == CUSTOMERS - manifest.arms["popular"] - manifest.arms["out"]
    )
    assert "user-personalization" in manifest.versions["best"]
    assert "popularity-count" in manifest.versions["count"]
    for row in published.lists.values():
        tier, items = {"popular": ("popular", 5), "out": ("", 0)}.get(row["arm"], ("personal", 5))
        assert (row["tier"], len(row["item_ids"])) == (tier, items)
        # The program's filter holds for the challenger's job too; popular items are of no model.
        if row["arm"] in {"best", "count"}:
            assert all(int(item.removeprefix("p-")) + 0.5 <= 20 for item in row["item_ids"])
    of_count = {tuple(row["item_ids"]) for row in published.lists.values() if row["arm"] == "count"}
    assert len(of_count) == 1, "the challenger knows popularity only"

    delivered = run(f"{shop.name}_push")
    assert delivered.state == "success", states(delivered)
    deliveries = context.store(Deliveries)
    (delivery,) = deliveries.names()
    report = deliveries.report(delivery, "report") or {}
    out = {who for who, arm in arms.items() if arm == "out"}
    assert (report["outcomes"]["held_out"], report["outcomes"]["sent"]) == (len(out), CUSTOMERS - len(out))
    assert not out & writes_of(shop).keys()
    profiles = shop.services.profiles()
    for who, arm in arms.items():
        shown = profiles.get(who, {})
        if arm == "out":
            assert not shown
            continue
        assert shown.get("recs_arm", "") == arm
        version = manifest.versions.get(arm, "" if arm else manifest.solution_version_arn)
        assert shown.get("recs_version", "") == version.rpartition(":")[2].removeprefix("solution/")
    # Both jobs are booked as the service counts them.
    assert booked(shop) == used(before, metered(shop.services))

    held_out = sorted(out)[0].removeprefix(f"{shop.name}-")
    (told,) = explain(shop.name, [held_out])
    assert told.summary == (
        f"No list in run {manifest.run}: held out by experiment {shop.name}-e. Braze has no list of this program."
    )
    assert (told.arm, told.delivered.outcome if told.delivered else "") == ("out", "held_out")

    # Lists that are pushed by hand reach nobody who is held out either, and everybody stays in the same arm.
    lines = [
        {
            "input": {"userId": f"c {n}"},
            "output": {"recommendedItems": [f"p-{k}" for k in range(5)]},
            "error": None,
        }
        for n in range(CUSTOMERS)
    ]
    path = tmp_path / "users.json.out"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    by_hand = publish_output(shop.name, str(path))
    assert {who: row["arm"] for who, row in shop.published(by_hand.run).lists.items()} == arms
    again = run(f"{shop.name}_push")
    assert again.state == "success", states(again)
    assert not out & writes_of(shop).keys()
