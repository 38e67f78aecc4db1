"""Event trackers and metric attributions: one per dataset group, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"


def test_an_event_tracker_gives_out_its_tracking_id(
    live: Any, world: Any, refused: Callable[..., Any]
) -> None:
    group = world.group()
    create = world.personalize.create_event_tracker
    created = create(name="tracker", datasetGroupArn=group)
    tracker = world.wait("EventTracker", created["eventTrackerArn"])
    assert tracker["trackingId"] == created["trackingId"]
    assert tracker["accountId"] == "000000000000"
    assert len(created["eventTrackerArn"].rpartition(":event-tracker/")[2]) == 8
    taken = refused(create, name="tracker", datasetGroupArn=live.group)
    assert taken.code == "ResourceAlreadyExistsException"
    assert refused(create, name="other", datasetGroupArn=group).code == "LimitExceededException"
    listed = world.personalize.list_event_trackers(datasetGroupArn=group)["eventTrackers"]
    assert [entry["eventTrackerArn"] for entry in listed] == [created["eventTrackerArn"]]
    in_use = refused(world.personalize.delete_dataset_group, datasetGroupArn=group)
    assert in_use.code == "ResourceInUseException"
    world.personalize.delete_event_tracker(eventTrackerArn=created["eventTrackerArn"])
    world.wait_gone(lambda: world.personalize.list_event_trackers(datasetGroupArn=group)["eventTrackers"])
    world.personalize.delete_dataset_group(datasetGroupArn=group)


def metric(name: str, expression: str = "SAMPLECOUNT()") -> dict[str, str]:
    return {"metricName": name, "eventType": "buy", "expression": expression}


def test_a_metric_attribution_holds_its_metrics(live: Any, refused: Callable[..., Any]) -> None:
    personalize, world = live.personalize, live.world
    output = {"roleArn": ROLE, "s3DataDestination": {"path": f"s3://{world.bucket}/metrics/"}}
    first = [
        metric("count"),
        metric("revenue", "SUM(Items.PRICE)"),
        metric("value", "sum(Interactions.EVENT_VALUE)"),
    ]
    create = {"datasetGroupArn": live.group, "metricsOutputConfig": output}
    arn = personalize.create_metric_attribution(name="metrics", metrics=first, **create)[
        "metricAttributionArn"
    ]
    found = world.wait("MetricAttribution", arn)
    assert found["metricsOutputConfig"] == output
    second = refused(personalize.create_metric_attribution, name="more", metrics=[], **create)
    assert second.code == "LimitExceededException"
    personalize.update_metric_attribution(
        metricAttributionArn=arn, removeMetrics=["count"], addMetrics=[metric(f"m{n}") for n in range(8)]
    )
    pages = personalize.get_paginator("list_metric_attribution_metrics").paginate(
        metricAttributionArn=arn, PaginationConfig={"PageSize": 3}
    )
    names = [entry["metricName"] for page in pages for entry in page["metrics"]]
    assert names == ["revenue", "value", *(f"m{n}" for n in range(8))]
    update = personalize.update_metric_attribution
    error = refused(update, metricAttributionArn=arn, addMetrics=[metric("eleventh")])
    assert error.code == "InvalidInputException"
    error = refused(update, metricAttributionArn=arn, addMetrics=[metric("value")], removeMetrics=["m0"])
    assert error.code == "ResourceAlreadyExistsException"
    assert "count" in refused(update, metricAttributionArn=arn, removeMetrics=["count"]).message
    listed = personalize.list_metric_attributions(datasetGroupArn=live.group)["metricAttributions"]
    assert [entry["metricAttributionArn"] for entry in listed] == [arn]
    personalize.delete_metric_attribution(metricAttributionArn=arn)
    world.wait_gone(
        lambda: personalize.list_metric_attributions(datasetGroupArn=live.group)["metricAttributions"]
    )


@pytest.mark.parametrize(
    "expression", ["SUM(Items.CATEGORY_L1)", "SUM(Items.NOPE)", "SUM(Users.AGE)", "AVG(Items.PRICE)", "SUM()"]
)
def test_a_metric_must_fit_the_schemas(live: Any, refused: Callable[..., Any], expression: str) -> None:
    error = refused(
        live.personalize.create_metric_attribution,
        name=live.world.name("bad"),
        datasetGroupArn=live.group,
        metrics=[metric("m", expression)],
        metricsOutputConfig={"roleArn": ROLE},
    )
    assert error.code == "InvalidInputException"
    assert expression in error.message
