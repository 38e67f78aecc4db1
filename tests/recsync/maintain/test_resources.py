from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_shop import SmallShop

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import EVENT_TRACKER, METRIC_ATTRIBUTION, SCHEMA, SOLUTION
from recsync.maintain.report import ReportEntry
from recsync.maintain.resources import (
    PersonalizeAccount,
    active_recommenders,
    find_orphans,
    idle_campaigns,
    remove,
    survey,
)
from recsync.maintain.retention import RetentionDecision
from recsync.program import names

RECIPE = "aws-user-personalization"
LATER = datetime.now(UTC) + timedelta(days=400)


def account_of(shop: SmallShop) -> PersonalizeAccount:
    return PersonalizeAccount(shop.context.program, PersonalizeHook())


@pytest.fixture
def schemas(small_shop: SmallShop, local_personalize: Any) -> dict[str, str]:
    """A dataset group with a dataset, a solution by hand, and schemas: used, unused, of others."""
    group = local_personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    local_personalize.create_dataset_group(name="by-hand")
    arns, schema = {}, (small_shop.include / "schemas/shop/interactions.json").read_text()
    for name in ("shop-interactions-00000001", "shop-interactions-00000002", "by-hand"):
        created = local_personalize.create_schema(name=name, schema=schema)
        arns[name] = created["schemaArn"]
    local_personalize.create_dataset(
        name="shop-interactions",
        schemaArn=arns["shop-interactions-00000001"],
        datasetGroupArn=group,
        datasetType="Interactions",
    )
    local_personalize.create_solution(
        name="by-hand", datasetGroupArn=group, recipeArn=names.recipe_arn(RECIPE)
    )
    return arns


def test_a_metric_attribution_goes_when_no_file_asks_for_it(
    small_shop: SmallShop, schemas: dict[str, str], local_personalize: Any
) -> None:
    group = local_personalize.list_dataset_groups()["datasetGroups"]
    shop = next(each["datasetGroupArn"] for each in group if each["name"] == "shop")
    local_personalize.create_metric_attribution(
        name="shop",
        datasetGroupArn=shop,
        metrics=[{"eventType": "buy", "metricName": "buys", "expression": "SAMPLECOUNT()"}],
        metricsOutputConfig={"roleArn": "arn:aws:iam::000000000000:role/personalize"},
    )
    kept: dict[bool, RetentionDecision[Any]] = {}
    for asked in (True, False):
        metrics = [{"name": "buys", "event": "buy"}] if asked else []
        small_shop.write_program(personalize={"attribution": {"metrics": metrics}})
        (kept[asked],) = survey(small_shop.context, account_of(small_shop), LATER)[METRIC_ATTRIBUTION]
        assert not [e for e in find_orphans(account_of(small_shop)) if e.kind == METRIC_ATTRIBUTION.noun]
    assert (kept[True].keep, kept[False].keep) == (True, False)
    assert kept[True].why == "the program file asks for it"


def test_what_no_program_owns_is_listed_as_an_orphan(small_shop: SmallShop, schemas: dict[str, str]) -> None:
    why = "not named as recsync names its resources"
    assert list(find_orphans(account_of(small_shop))) == [
        ReportEntry("dataset group", "by-hand", "no program file has its name"),
        ReportEntry("solution", "by-hand", why),
        ReportEntry("schema", "by-hand", why),
    ]
    small_shop.write_program("by-hand")
    assert "dataset group" not in {entry.kind for entry in find_orphans(account_of(small_shop))}


def test_an_event_tracker_is_an_orphan_unless_the_program_streams(
    small_shop: SmallShop, schemas: dict[str, str], local_personalize: Any
) -> None:
    (shop,) = (
        each["datasetGroupArn"]
        for each in local_personalize.list_dataset_groups()["datasetGroups"]
        if each["name"] == "shop"
    )
    local_personalize.create_event_tracker(name="of-the-web-team", datasetGroupArn=shop)
    for update_by, expected in (("training", {"of-the-web-team"}), ("events", set())):
        small_shop.write_program(personalize={"update_by": update_by})
        found = find_orphans(account_of(small_shop))
        assert {each.name for each in found if each.kind == EVENT_TRACKER.noun} == expected


def test_old_schemas_that_no_dataset_uses_are_removed(
    small_shop: SmallShop, schemas: dict[str, str], local_personalize: Any
) -> None:
    account = account_of(small_shop)
    recent = survey(small_shop.context, account, datetime.now(UTC))
    assert all(decision.keep for decided in recent.values() for decision in decided)
    decisions = survey(small_shop.context, account, LATER)
    assert {d.subject.name: (d.keep, d.why.split(" since")[0]) for d in decisions[SCHEMA]} == {
        "shop-interactions-00000001": (True, "dataset shop-interactions of shop uses it"),
        "shop-interactions-00000002": (False, "unused"),
    }
    assert decisions[SOLUTION] == []
    assert remove(account.hook, decisions) == ([], set())
    left = {found["name"] for found in local_personalize.list_schemas()["schemas"]}
    assert left == {"shop-interactions-00000001", "by-hand"}


def test_what_amazon_personalize_still_uses_stays(small_shop: SmallShop, schemas: dict[str, str]) -> None:
    account = account_of(small_shop)
    used = next(each for each in account.schemas if each.name == "shop-interactions-00000001")
    decisions = {SCHEMA: [RetentionDecision(used, keep=False, why="decided before its use")]}
    left, in_use = remove(account.hook, decisions)
    assert left == [f"schema {used.name} stays: Amazon Personalize says that it is in use"]
    assert in_use == {used.name}


def test_the_resources_with_a_quota_are_counted(small_shop: SmallShop, schemas: dict[str, str]) -> None:
    assert account_of(small_shop).counts() == {
        "dataset groups": 2,
        "schemas": 3,
        "solutions": 1,
        "filters": 0,
        "campaigns": 0,
    }


def test_idle_campaigns_are_listed_with_their_price(small_shop: SmallShop, aws_json_server: Any) -> None:
    shutil.copy(Path(__file__).parents[3] / "include/prices.yaml", small_shop.include)
    now = datetime(2026, 11, 22, tzinfo=UTC)
    changed = {"shop-recommend": 1, "by-hand": 400, "by-hand-new": 1}
    campaigns = {
        f"arn:aws:personalize:us-east-1:1:campaign/{name}": {
            "name": name,
            "campaignArn": f"arn:aws:personalize:us-east-1:1:campaign/{name}",
            "solutionVersionArn": "arn:aws:personalize:us-east-1:1:solution/x/1",
            "status": "ACTIVE",
            "minProvisionedTPS": 2,
            "creationDateTime": (now - timedelta(hours=hours)).timestamp(),
            "lastUpdatedDateTime": (now - timedelta(hours=hours)).timestamp(),
        }
        for name, hours in changed.items()
    }
    aws_json_server.on("ListCampaigns", {"campaigns": list(campaigns.values())})
    aws_json_server.on("DescribeCampaign", lambda body: {"campaign": campaigns[body["campaignArn"]]})
    account = account_of(small_shop)
    idle = {e.name: e.why for e in idle_campaigns(account, now, is_recommending=lambda _: False)}
    cost = "; costs at least 9.60 USD a day by include/prices.yaml"
    assert idle == {
        "shop-recommend": "no recommend run of shop is active; the next one uses and deletes the campaign"
        + cost,
        "by-hand": f"not recsync's; last changed {now - timedelta(hours=400):%Y-%m-%d}{cost}",
    }
    running = idle_campaigns(account, now, is_recommending=lambda program: program == "shop")
    assert [entry.name for entry in running] == ["by-hand"]


def test_recommenders_that_are_billed_are_listed(small_shop: SmallShop, aws_json_server: Any) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    group = {"name": "videos", "datasetGroupArn": "arn:aws:personalize:us-east-1:1:dataset-group/videos"}
    group["creationDateTime"] = now.timestamp()
    aws_json_server.on("ListDatasetGroups", {"datasetGroups": [group]})
    assert [*active_recommenders(account_of(small_shop), now)] == []
    assert aws_json_server.requests("ListRecommenders") == []
    recommenders = [
        {
            "name": name,
            "recommenderArn": f"arn:aws:personalize:us-east-1:1:recommender/{name}",
            "status": status,
            "recommenderConfig": {"minRecommendationRequestsPerSecond": 2},
            "creationDateTime": now.timestamp(),
        }
        for name, status in {"on": "ACTIVE", "off": "INACTIVE"}.items()
    ]
    aws_json_server.on("ListDatasetGroups", {"datasetGroups": [{**group, "domain": "VIDEO_ON_DEMAND"}]})
    aws_json_server.on("ListRecommenders", {"recommenders": recommenders})
    (entry,) = active_recommenders(account_of(small_shop), now)
    assert (entry.kind, entry.name) == ("recommender", "on")
    assert "billed by the hour" in entry.why
    assert "include/prices.yaml has no price of recommender_rps_hours" in entry.why
    (small_shop.include / "prices.yaml").write_text(
        'lists: [{since: "2026-01", prices: {recommender_rps_hours: {price: 0.5}}}]'
    )
    (entry,) = active_recommenders(account_of(small_shop), now)
    assert entry.why.endswith("costs at least 24.00 USD a day by include/prices.yaml")
