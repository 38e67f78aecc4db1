"""A program's filter on its whole way: dates, each person's values, and what becomes of former filters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dag_runs import states
from shop import PROGRAM, Shop

AUDIENCE = """
    SELECT DISTINCT customer AS user_id, 'braze-' || customer AS external_id,
        CASE WHEN customer <> 'c 3' THEN 10 + right(customer, 1)::int END AS "Budget"
    FROM shop.orders
"""
EXPRESSION = (
    "INCLUDE ItemID WHERE Items.PRICE <= $BUDGET"
    " AND Items.CREATION_TIMESTAMP > {{ epoch(data_interval_end - days(120)) }}"
)


def write(shop: Shop, expression: str) -> None:
    filters = {"keep": 1, "recommend": {"expression": expression, "values": {"BUDGET": "budget"}}}
    shop.write_files(f"{PROGRAM}filters: {json.dumps(filters)}\n", {"audience": AUDIENCE})


def group_of(shop: Shop) -> str:
    groups = shop.services.boto3("personalize").list_dataset_groups()["datasetGroups"]
    return next(str(group["datasetGroupArn"]) for group in groups if group["name"] == shop.name)


def filters(shop: Shop) -> dict[str, str]:
    client = shop.services.boto3("personalize")
    listed = client.list_filters(datasetGroupArn=group_of(shop))["Filters"]
    return {
        each["name"]: client.describe_filter(filterArn=each["filterArn"])["filter"]["filterExpression"]
        for each in listed
        if not each["status"].startswith("DELETE")
    }


def price(item: str) -> float:
    return int(item.removeprefix("p-")) + 0.5


@pytest.mark.long(reason="three whole recommend runs; tests of filters.py make and retire filters, too")
def test_a_filter_rolls_and_former_ones_go(shop: Shop, run: Callable[..., Any]) -> None:
    shop.services.execute(
        "UPDATE shop.products SET added_at = added_at - interval '100 days' WHERE product = 'p-2'"
    )
    write(shop, EXPRESSION)
    assert run(f"{shop.name}_train_full").state == "success"
    first = run(f"{shop.name}_recommend")
    assert (first.state, states(first)["filter"]) == ("success", "success")
    ((name, expression),) = filters(shop).items()
    assert "{{" not in expression
    found = shop.published().lists
    for number in (1, 4, 9):
        mine = found[f"braze-c {number}"]
        assert mine["reason"] == ""
        assert len(mine["item_ids"]) == 5
        assert all(price(item) <= 10 + number for item in mine["item_ids"])
        assert "p-2" not in mine["item_ids"]
    # Without a value the INCLUDE fails the line of this person, and of nobody else.
    assert found["braze-c 3"]["reason"]

    by_hand = f"{shop.name}-by-hand"
    shop.services.boto3("personalize").create_filter(
        name=by_hand, datasetGroupArn=group_of(shop), filterExpression=expression
    )
    made = [name]
    # The same expression is the same filter; another day's expression is another.
    for days in (120, 121, 122):
        write(shop, EXPRESSION.replace("120", str(days)))
        assert run(f"{shop.name}_recommend").state == "success"
        made += filters(shop).keys() - {*made, by_hand}
    assert len(made) == 3
    # The one of now and, as `keep` says, the one before it.
    assert filters(shop).keys() == {*made[-2:], by_hand}
