from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from recsync.program import DatasetType
from recsync.program.attribution import (
    AttributedMetric,
    Attribution,
    attribution_problems,
    attribution_schema_problems,
    source_of,
)
from recsync.program.avro import AvroField, AvroSchema
from recsync.program.parse import parse_program

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
COUNT = {"name": "purchases", "event": "purchase"}
REVENUE = {**COUNT, "name": "revenue", "expression": "SUM(Interactions.EVENT_VALUE)"}
PRICES = {**COUNT, "name": "prices", "expression": "SUM(Items.PRICE)"}


def attribution(**fields: Any) -> Attribution:
    return Attribution.model_validate(fields)


def schema(**types: str) -> AvroSchema:
    return AvroSchema("", tuple(AvroField(name, kind, nullable=False) for name, kind in types.items()))


def mistakes(**fields: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        attribution(**fields)
    return str(raised.value)


def test_by_default_nothing_is_asked_for() -> None:
    assert attribution().filled == {}
    assert attribution().metrics == ()


def test_a_metric_is_a_count_or_a_sum_of_a_column() -> None:
    metrics = attribution(metrics=[COUNT, REVENUE, PRICES]).metrics
    assert [metric.summed for metric in metrics] == [None, (EVENTS, "EVENT_VALUE"), (ITEMS, "PRICE")]
    assert metrics[0].request == {
        "eventType": "purchase",
        "metricName": "purchases",
        "expression": "SAMPLECOUNT()",
    }
    with pytest.raises(ValidationError, match="must be SAMPLECOUNT"):
        AttributedMetric.model_validate({**COUNT, "expression": "AVG(Items.PRICE)"})


def test_names_are_different_and_metrics_are_ten_at_most() -> None:
    assert "purchases is there twice" in mistakes(metrics=[COUNT, COUNT])
    assert "at most 10" in mistakes(metrics=[{**COUNT, "name": f"m{n}"} for n in range(11)])
    assert "less than or equal to 25" in mistakes(impressions=26)


def test_the_page_shows_a_section_that_is_allowed() -> None:
    page = (Path(__file__).parents[3] / "docs/attribution.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = parse_program("shop", {"braze": {"attribute": "recs"}, **yaml.safe_load(text)}).attribution
    assert (len(found.metrics), found.impressions, found.source) == (2, 12, "program")


def test_columns_and_types_are_checked_against_the_schemas() -> None:
    asked = attribution(metrics=[COUNT, REVENUE, PRICES], source="program", impressions=5)
    bare = schema(USER_ID="string", ITEM_ID="string", TIMESTAMP="long")
    found = {problem.field: problem.text for problem in attribution_schema_problems(asked, EVENTS, bare)}
    assert found.keys() == {("source",), ("impressions",), ("metrics",), ("metrics", 1, "expression")}
    assert "TIMESTAMP" in found["metrics", 1, "expression"]
    columns = ("EVENT_ATTRIBUTION_SOURCE", "IMPRESSION", "EVENT_TYPE")
    whole = schema(**dict.fromkeys(columns, "string"), EVENT_VALUE="float")
    assert list(attribution_schema_problems(asked, EVENTS, whole)) == []
    (price,) = attribution_schema_problems(asked, ITEMS, schema(ITEM_ID="string", PRIZE="float"))
    assert "did you mean PRIZE" in price.text
    assert list(attribution_schema_problems(asked, ITEMS, schema(PRICE="double"))) == []


def test_sums_of_items_need_items_and_a_metric_that_does_not_wait_for_them() -> None:
    only_items = attribution(metrics=[PRICES])
    found = [problem.text for problem in attribution_problems(only_items, {EVENTS}, mails_actions=False)]
    assert len(found) == 2
    assert "add datasets.items" in found[0]
    assert "before" in found[1]
    both = attribution(metrics=[PRICES, COUNT])
    assert list(attribution_problems(both, {EVENTS, ITEMS}, mails_actions=False)) == []
    assert [metric.name for metric in both.first_metrics] == ["purchases"]


def test_lists_of_actions_cannot_fill_columns_about_items() -> None:
    asked = attribution(source="program")
    assert [p.field for p in attribution_problems(asked, {EVENTS}, mails_actions=True)] == [("source",)]


@pytest.mark.parametrize(
    ("arm", "source", "expected"),
    [("sims", "arm", "shop/sims"), ("sims", "program", "shop"), (None, "arm", "shop"), ("", "arm", "shop")],
)
def test_a_source_is_the_program_or_its_arm(arm: str | None, source: str, expected: str) -> None:
    assert source_of("shop", arm, source) == expected


def test_an_event_type_that_is_not_exported_is_a_mistake() -> None:
    document = {
        "braze": {"attribute": "recs"},
        "events": {"types": {"view": None}},
        "personalize": {"attribution": {"metrics": [COUNT]}},
    }
    with pytest.raises(ValidationError, match=r"personalize.attribution.metrics.0.event names purchase"):
        parse_program("shop", document)
    document["events"] = {"types": {"purchase": None}}
    assert parse_program("shop", document).attribution.metrics[0].name == "purchases"


def test_only_the_owner_of_the_data_decides() -> None:
    owner = {"braze": {"attribute": "a"}, "personalize": {"attribution": {"impressions": 3}}}
    sharer: dict[str, Any] = {"braze": {"attribute": "b"}, "data": "shop"}

    def other(name: str) -> Any:
        return owner, lambda: parse_program(name, owner)

    assert parse_program("weekly", sharer, other).attribution.impressions == 3
    sharer["personalize"] = {"attribution": {"impressions": 5}}
    with pytest.raises(ValidationError, match=r"is decided in shop.yaml"):
        parse_program("weekly", sharer, other)
