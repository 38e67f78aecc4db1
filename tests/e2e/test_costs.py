"""What runs use: the ledger against what the local servers metered, and budgets that stop a step before it is begun."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dag_runs import states
from meters import booked, metered, used
from shop import CUSTOMERS, FULL_UNTIL, PROGRAM, Shop

from recsync.costs.budget import check_budget, cost_after_promotion
from recsync.costs.ledger import CostLedger, UsageEntry, month_of
from recsync.costs.prices import Charge, UsageKind
from recsync.errors import BudgetExceededError, FatalError
from recsync.evaluation.store import ChampionStore
from recsync.imports.store import ImportStore
from recsync.push.store import LastSent
from stack.airflow_api import wait_for

Run = Callable[..., Any]
PRICES = """
assumed: {training_hours: 2}
lists:
  - since: "2020-01"
    prices:
      ingested_bytes: {price: 0.05, per: 1_000_000_000}
      training_hours: {price: 0.24}
      batch_recommendations: {price: 0.067, per: 1_000}
      data_points: {price: 1, per: 1_000}
"""
THREE_SOLUTIONS = """
personalize:
  {baseline_recipe: aws-popularity-count, challengers: {other: {recipe: aws-user-personalization-v2}}, """


def forget(shop: Shop) -> None:
    from recsync.context import StageContext

    context = StageContext.of(shop.name)
    for month in context.store(CostLedger).months():
        context.bucket.delete(context.keys.money(month))


@pytest.mark.timeout(600)
def test_the_ledger_says_what_the_servers_metered(
    shop: Shop, run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync import cost_report
    from recsync.context import StageContext
    from recsync.maintain.reconcile_costs import reconcile

    (shop.include / "prices.yaml").write_text(PRICES)
    shop.write_files(PROGRAM.replace("personalize: {", THREE_SOLUTIONS) + "budget: {monthly: 100}\n")
    before = metered(shop.services)
    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    shop.add_products([("new-item", 3.0, FULL_UNTIL + timedelta(minutes=30))])
    # As many as an import of interactions takes at least.
    bought = FULL_UNTIL + timedelta(minutes=40)
    shop.add_orders([(f"c {n % CUSTOMERS}", "new-item", bought + timedelta(seconds=n)) for n in range(1000)])
    assert run(f"{shop.name}_export", logical_date=FULL_UNTIL + timedelta(hours=1)).state == "success"
    for stage in ("train_update", "recommend", "push"):
        dag_run = run(f"{shop.name}_{stage}")
        assert dag_run.state == "success", states(dag_run)

    truth = used(before, metered(shop.services))
    assert set(truth) == {
        "ingested_bytes",
        "training_hours",
        "trained_interactions",
        "batch_recommendations",
        "data_points",
    }
    assert booked(shop) == truth
    context = StageContext.of(shop.name)
    this_month = context.store(CostLedger).read(f"{datetime.now(UTC):%Y-%m}")
    assert this_month.recorded() == this_month, "what was booked is not expected any more"

    assert reconcile(context) == 0, "everything is booked"
    forget(shop)
    assert reconcile(context) == 10, "4 imports, 4 trainings, a batch inference job, a delivery"
    assert booked(shop) == truth, "killed runs leave enough behind to be booked later"

    monkeypatch.setattr("sys.argv", ["cost_report", shop.name, "--month", f"{datetime.now(UTC):%Y-%m}"])
    assert cost_report.main() == 0
    told = capfd.readouterr().out
    assert re.search(rf"batch recommendations +{CUSTOMERS} +0\.004020 USD\n", told), told
    assert re.search(r"budget +\d% used +100\.00 USD\n", told), told
    check_a_campaign(shop)


def check_a_campaign(shop: Shop) -> None:
    """Compare what is booked of a campaign with what the server metered right before and right after."""
    from recsync.context import StageContext
    from recsync.costs.usage import record_campaign

    context, before = StageContext.of(shop.name), metered(shop.services)["campaign_tps_hours"]
    champion, personalize = context.store(ChampionStore).read(), shop.services.boto3("personalize")
    assert champion
    arn = personalize.create_campaign(
        name=f"{shop.name}-recommend", solutionVersionArn=champion.solution_version_arn, minProvisionedTPS=500
    )["campaignArn"]

    def is_active() -> bool:
        return bool(personalize.describe_campaign(campaignArn=arn)["campaign"]["status"] == "ACTIVE")

    wait_for(is_active, "the campaign", timeout_seconds=60, poll_seconds=0.1)
    for _ in range(2):
        since = metered(shop.services)["campaign_tps_hours"] - before
        record_campaign(context, arn, "run")
        found = booked(shop)["campaign_tps_hours"]
        assert since <= found <= metered(shop.services)["campaign_tps_hours"] - before
    personalize.delete_campaign(campaignArn=arn)


def test_a_budget_too_small_stops_a_training_before_anything_of_it_exists(shop: Shop, run: Run) -> None:
    from recsync.context import StageContext

    (shop.include / "prices.yaml").write_text(PRICES)
    shop.write_files(f"{PROGRAM}budget: {{monthly: 0.4}}\n")
    stopped = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    found = states(stopped)
    assert stopped.state == "failed"
    assert found["import_jobs"] == "failed"
    assert {found[task] for task in ("solution_version", "metrics")} == {"upstream_failed"}
    personalize = shop.services.boto3("personalize")
    jobs = personalize.list_dataset_import_jobs(maxResults=100)["datasetImportJobs"]
    solutions = personalize.list_solutions(maxResults=100)["solutions"]
    (solution,) = (s["solutionArn"] for s in solutions if s["name"].startswith(shop.name))
    assert not [job for job in jobs if job["jobName"].startswith(shop.name)]
    assert not personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
    context = StageContext.of(shop.name)
    assert context.store(ImportStore).read().pending_imports is None
    assert context.store(CostLedger).months() == [], "nothing is used, and nothing promised"


def test_data_points_beyond_their_limit_are_not_planned(shop: Shop, tmp_path: Path) -> None:
    from recsync.context import StageContext
    from recsync.costs.budget import delivery_cost
    from recsync.maintain.reconcile_costs import reconcile
    from recsync.push.deliver import deliver
    from recsync.push.plan import plan
    from recsync.recommend.recommend import publish_output

    items = [f"p-{number}" for number in range(10)]
    lines = [
        {"input": {"userId": f"c {c}"}, "output": {"recommendedItems": items}, "error": None}
        for c in range(CUSTOMERS)
    ]
    output = tmp_path / "output.jsonl"
    output.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    limited = f"{PROGRAM}budget: {{data_points_per_month: {CUSTOMERS * 15 - 1}}}\n"
    shop.write_files(limited)
    run = publish_output(shop.name, str(output)).run
    context = StageContext.of(shop.name)
    assert plan(shop.name, run, dag_run="dry", dry_run=True).estimate.data_points == CUSTOMERS * 15
    with pytest.raises(BudgetExceededError, match="900 Braze data points expected > 899"):
        plan(shop.name, run, dag_run="run")
    assert context.store(LastSent).read()[0].open_delivery == ""

    shop.write_files(limited.replace("899", "900"))
    manifest = plan(shop.name, run, dag_run="run")
    told = delivery_cost(shop.name, manifest.delivery, manifest.estimate.data_points)
    assert "* delivery to Braze: 900 Braze data points, no price" in told
    assert plan(shop.name, run, dag_run="run") == manifest, "a retry goes on with the plan"
    before = metered(shop.services)
    assert reconcile(context) == 0, "nothing of it was sent yet"
    deliver(shop.name, manifest.delivery)
    assert booked(shop) == used(before, metered(shop.services)) == {"data_points": 900}
    forget(shop)
    context.bucket.delete(f"{context.keys.delivery(manifest.delivery)}report.json")
    assert reconcile(context) == 1, "a delivery that died before its report is told by its ledger"
    assert booked(shop) == {"data_points": 900}
    assert "delivery to Braze: 900 Braze data points" in cost_after_promotion(context)


def test_two_runs_cannot_both_spend_what_is_left(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    from recsync.context import StageContext

    (shop.include / "prices.yaml").write_text(PRICES)
    shop.write_files(f"{PROGRAM}budget: {{monthly: 10}}\n")
    context = StageContext.of(shop.name)
    six = Charge(UsageKind.TRAINING_HOURS, 25, "training", "job-a")  # 6 USD
    check_budget(context, "a", [six])
    check_budget(context, "a", [six])
    with pytest.raises(BudgetExceededError, match=r"6\.00 USD used or promised so far \+ 6\.00 USD expected"):
        check_budget(context, "b", [replace(six, job="job-b")])
    assert "comes to" not in caplog.text
    check_budget(context, "b", [replace(six, quantity=10, job="job-b")])
    assert "comes to 84% of 10.00 USD" in caplog.text

    entry = UsageEntry(UsageKind.TRAINING_HOURS, 1, datetime.now(UTC).isoformat(), name="job-a")
    context.store(CostLedger).change(
        month_of(datetime.now(UTC)), lambda month: month.with_usage("arn:a", entry)
    )
    check_budget(context, "c", [replace(six, job="job-c")])
    check_budget(context, "a", [replace(six, quantity=1000)])  # a former try of the run did that
    assert "8.64 USD" in cost_after_promotion(context)


def test_a_limit_without_prices_is_refused(shop: Shop) -> None:
    from recsync.context import StageContext

    shop.write_files(f"{PROGRAM}budget: {{monthly: 10}}\n")
    with pytest.raises(FatalError, match=r"prices\.yaml, which holds the prices, does not exist"):
        check_budget(StageContext.of(shop.name), "run", [])
