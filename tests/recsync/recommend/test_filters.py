"""Former filters: which deletions are asked for, and what a refusal means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_personalize.errors import PersonalizeFatalError

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
VERSION = f"{PREFIX}solution/shop/0a1b2c3d"
GROUP = f"{PREFIX}dataset-group/shop"


def summary(number: int, program: str = "shop") -> dict[str, Any]:
    name = f"{program}-filter-{number:012x}"
    arn = f"{PREFIX}filter/{name}"
    return {"name": name, "filterArn": arn, "status": "ACTIVE", "creationDateTime": 1_700_000_000 + number}


@pytest.fixture
def filters(personalize: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Six filters of the program, the last one newest, and one of another program."""
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    chosen = "{expression: INCLUDE ItemID WHERE Items.A = 1}"
    filters = f"filters:\n  keep: 2\n  recommend: {chosen}\n"
    text = f"datasets: {{interactions: {{}}, items: {{}}}}\nbraze: {{attribute: recs}}\n{filters}"
    (tmp_path / "programs/shop.yaml").write_text(text)
    for query in ("interactions", "items", "audience", "catalogue"):
        (tmp_path / f"sql/shop/{query}.sql").write_text("SELECT 1")
    fields = [{"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID")]
    schema = {
        "type": "record",
        "name": "Interactions",
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": [*fields, {"name": "TIMESTAMP", "type": "long"}],
    }
    (tmp_path / "schemas/shop/interactions.json").write_text(json.dumps(schema))
    items = {**schema, "name": "Items", "fields": [fields[1], {"name": "A", "type": "int"}]}
    (tmp_path / "schemas/shop/items.json").write_text(json.dumps(items))
    personalize.on("DescribeSolution", {"solution": {"datasetGroupArn": GROUP}})
    personalize.on("ListFilters", {"Filters": [*map(summary, range(6)), summary(0, "other")]})
    personalize.on(
        "DescribeFilter", lambda body: {"filter": {"filterArn": body["filterArn"], "status": "ACTIVE"}}
    )
    return personalize.on("DeleteFilter", {})


def test_room_is_made_before_the_runs_own_filter(filters: Any) -> None:
    from recsync.recommend.filters import make_room

    chosen = {"name": "shop-filter-ffffffffffff", "expression": "INCLUDE ItemID WHERE Items.A = 1"}
    found = make_room("shop", {"filter": chosen, "solution_version_arn": VERSION})
    assert found == {**chosen, "dataset_group_arn": GROUP}
    assert [body["filterArn"] for body in filters.requests("DeleteFilter")] == [
        summary(number)["filterArn"] for number in (3, 2, 1, 0)
    ]
    assert filters.requests("ListFilters") == [{"datasetGroupArn": GROUP}]


def test_a_filter_in_use_stays_and_the_others_go(filters: Any) -> None:
    from recsync.recommend.filters import retire_filters

    busy = summary(1)["filterArn"]
    in_use = filters.refusal("ResourceInUseException", "a job uses it")
    filters.on("DeleteFilter", lambda body: in_use if body["filterArn"] == busy else {})
    gone = retire_filters("shop", VERSION, summary(0)["name"])
    assert gone == [summary(number)["filterArn"] for number in (3, 2)]


def test_another_refusal_is_told(filters: Any) -> None:
    from recsync.recommend.filters import retire_filters

    filters.on("DeleteFilter", filters.refusal("AccessDeniedException", "not you"))
    with pytest.raises(PersonalizeFatalError, match="not you"):
        retire_filters("shop", VERSION, None)
