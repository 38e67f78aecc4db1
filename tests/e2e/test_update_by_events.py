"""``update_by: events``: new rows change the next lists without an import job and without a training."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dag_runs import states
from meters import booked, metered, used
from shop import FULL_UNTIL, PRODUCTS, PROGRAM, Shop

Run = Callable[..., Any]


def streaming_program(recipe: str) -> str:
    personalize = f"personalize: {{recipe: {recipe}, update_by: events, streaming: {{wait_minutes: 0}}, "
    return PROGRAM.replace("personalize: {", personalize)


@pytest.mark.long(
    reason="trains two recipes; tests/recsync/imports/test_streaming.py has the streaming alone"
)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-user-personalization-v2"])
def test_a_purchase_of_one_hour_changes_the_list_of_the_next_without_a_training(
    shop: Shop, run: Run, recipe: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync import cost_report

    shop.write_files(streaming_program(recipe))
    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    assert run(f"{shop.name}_recommend").state == "success"
    before, money = metered(shop.services), booked(shop)
    former = shop.published().lists
    buyer = "braze-c 1"
    bought = next(f"p-{n}" for n in range(PRODUCTS) if f"p-{n}" not in former[buyer]["item_ids"])

    hour = FULL_UNTIL + timedelta(minutes=10)
    shop.add_orders([("c 1", bought, hour + timedelta(minutes=n)) for n in range(8)])
    exported = run(f"{shop.name}_export", logical_date=FULL_UNTIL + timedelta(hours=1))
    assert exported.state == "success", states(exported)
    update = run(f"{shop.name}_train_update")
    assert update.state == "success", states(update)
    assert run(f"{shop.name}_recommend").state == "success"

    lists = shop.published().lists
    assert bought in lists[buyer]["item_ids"]
    assert lists["braze-c 2"]["item_ids"] == former["braze-c 2"]["item_ids"]
    spent = used(before, metered(shop.services))
    assert spent.keys() <= {"ingested_bytes", "batch_recommendations"}
    after = booked(shop)
    assert {kind: after[kind] - money.get(kind, 0.0) for kind in spent} == spent

    monkeypatch.setattr("sys.argv", ["cost_report", shop.name])
    assert cost_report.main() == 0
    assert "updates by 1 streams of 8 rows" in capfd.readouterr().out

    again = states(run(f"{shop.name}_train_update"))
    assert again.pop("hold") == "success"
    assert set(again.values()) == {"skipped"}, "everything is streamed"
