"""Filters: the grammar, the texts of refusals, and what each form leaves in a batch output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

COMMON = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
ITEMS = {
    **COMMON,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "GENRE", "type": ["null", "string"], "categorical": True},
        {"name": "STYLE", "type": ["null", "string"]},
        {"name": "DESCRIPTION", "type": ["null", "string"], "textual": True},
        {"name": "PRICE", "type": ["null", "float"]},
        {"name": "IS_ADULT", "type": ["null", "boolean"]},
        {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    ],
}
USERS = {
    **COMMON,
    "name": "Users",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "AGE", "type": ["null", "int"]},
        {"name": "CLUB", "type": ["null", "string"]},
    ],
}


@pytest.fixture(scope="module")
def group(shop: Any, interactions: str) -> Iterator[str]:
    """Return the checkerboard's group with items and users: i<n> has price n, even items are drama."""
    arn = shop.describe("Dataset", interactions)["datasetGroupArn"]
    items = "".join(
        f"i{n},{'drama|war' if n % 2 == 0 else 'comedy'},s{n % 3},text,{n},false,{1_700_000_000 + n}\n"
        for n in range(49)  # i49 has no row of its own
    )
    users = "".join(f"u{n},{n},{'gold' if n < 10 else ''}\n" for n in range(60))
    shop.import_csv(
        shop.dataset(arn, ITEMS),
        "ITEM_ID,GENRE,STYLE,DESCRIPTION,PRICE,IS_ADULT,CREATION_TIMESTAMP\n" + items,
    )
    shop.import_csv(shop.dataset(arn, USERS), "USER_ID,AGE,CLUB\n" + users)
    yield arn
    for entry in shop.personalize.list_filters(datasetGroupArn=arn)["Filters"]:
        shop.personalize.delete_filter(filterArn=entry["filterArn"])
    shop.wait_gone(lambda: shop.personalize.list_filters(datasetGroupArn=arn)["Filters"])


@pytest.fixture(scope="module")
def make_filter(shop: Any, group: str) -> Callable[[str], str]:
    """Return a function that creates a filter and waits until it is ACTIVE."""

    def make(expression: str) -> str:
        arn = shop.personalize.create_filter(
            name=shop.name("filter"), datasetGroupArn=group, filterExpression=expression
        )["filterArn"]
        assert shop.wait("Filter", arn)["filterExpression"] == expression
        return str(arn)

    return make


@pytest.fixture
def items_left(
    shop: Any, trained: dict[str, Any], make_filter: Callable[[str], str]
) -> Callable[..., dict[str, Any]]:
    """Return a function: expression and lines in, output entry per user out."""

    def run(expression: str, *lines: dict[str, Any], **options: Any) -> dict[str, Any]:
        prefix = shop.name("filtered")
        source = shop.put(f"{prefix}/users.json", "".join(json.dumps(line) + "\n" for line in lines))
        version = trained["aws-user-personalization"]["solutionVersionArn"]
        options = {"numResults": 50, **options, "filterArn": make_filter(expression)}
        job = shop.start_batch(version, source, f"s3://{shop.bucket}/{prefix}-out/", **options)
        found = shop.wait("BatchInferenceJob", job)
        assert (found["status"], found["filterArn"]) == ("ACTIVE", options["filterArn"])
        entries = map(json.loads, shop.read(f"{prefix}-out/users.json.out").splitlines())
        return {entry["input"]["userId"]: entry for entry in entries}

    return run


def items(entry: dict[str, Any]) -> set[str]:
    assert len(entry["output"]["scores"]) == len(entry["output"]["recommendedItems"])
    return set(entry["output"]["recommendedItems"])


ALL = {f"i{n}" for n in range(50)}
DRAMA = {f"i{n}" for n in range(0, 49, 2)}
COMEDY = {f"i{n}" for n in range(1, 49, 2)}


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ('INCLUDE ItemID WHERE Items.GENRE IN ("drama")', DRAMA),
        ("include itemid where items.genre in ('war', 'western')", DRAMA),
        ('EXCLUDE ItemID WHERE Items.GENRE IN ("drama")', ALL - DRAMA),
        ('EXCLUDE ItemID WHERE Items.GENRE NOT IN ("comedy")', ALL - DRAMA),
        (
            'INCLUDE ItemID WHERE Items.GENRE IN ("war") AND Items.STYLE IN ("s0")',
            DRAMA & {f"i{n}" for n in range(0, 49, 3)},
        ),
        ("INCLUDE ItemID WHERE Items.PRICE >= 10 AND Items.PRICE < 13", {"i10", "i11", "i12"}),
        ("INCLUDE ItemID WHERE Items.PRICE = 1 OR Items.PRICE = 2 AND Items.PRICE = 3", {"i1"}),
        ("INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP > 1700000046", {"i47", "i48"}),
        (
            "INCLUDE ItemID WHERE Items.PRICE < 3 | INCLUDE ItemID WHERE Items.PRICE > 47",
            {"i0", "i1", "i2", "i48"},
        ),
        ("INCLUDE ItemID WHERE Items.PRICE < 3 | EXCLUDE ItemID WHERE Items.PRICE = 1", {"i0", "i2"}),
        ("INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE > 18", ALL),
        (
            'INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE = 2 AND CurrentUser.CLUB IN ("gold")',
            {"i0", "i1"},
        ),
    ],
)
def test_what_a_filter_leaves_to_user_2(
    items_left: Callable[..., Any], expression: str, left: set[str]
) -> None:
    entry = items_left(expression, {"userId": "u2"})["u2"]
    assert items(entry) == left


def test_bought_items_are_excluded_per_user(items_left: Callable[..., Any], checkerboard_csv: str) -> None:
    bought: dict[str, dict[str, set[str]]] = {}
    for line in checkerboard_csv.splitlines()[1:]:
        user, item, event = line.split(",")[:3]
        bought.setdefault(user, {}).setdefault(event, set()).add(item)
    users = [{"userId": f"u{n}"} for n in range(4)]
    any_event = items_left('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', *users)
    buys = items_left('EXCLUDE ItemID WHERE Interactions.event_type IN ("BUY")', *users)
    only_viewed = items_left('INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("buy")', *users)
    for user, events in list(bought.items())[:4]:
        assert items(any_event[user]) == ALL - events["buy"] - events["view"]
        assert items(buys[user]) == ALL - events["buy"]
        assert items(only_viewed[user]) == events["view"]


def test_values_come_from_each_line(items_left: Callable[..., Any]) -> None:
    found = items_left(
        "INCLUDE ItemID WHERE Items.GENRE IN ($G) | EXCLUDE ItemID WHERE Items.PRICE < $LEAST",
        {"userId": "u1", "filterValues": {"G": '"drama","comedy"', "LEAST": "40"}},
        {"userId": "u2", "filterValues": {"G": '"drama"', "LEAST": '"40"'}},
        {"userId": "u3", "filterValues": {"G": '"drama"'}},
        {"userId": "u4", "filterValues": {"LEAST": "40"}},
        {"userId": "u5", "filterValues": {"G": '"drama"', "LEAST": "much"}},
    )
    upper = {f"i{n}" for n in range(40, 50)}
    assert items(found["u1"]) == (DRAMA | COMEDY) & upper
    assert items(found["u2"]) == DRAMA & upper
    assert items(found["u3"]) == DRAMA  # an EXCLUDE without its value does nothing
    assert "G" in found["u4"]["error"]  # an INCLUDE without its value fails the line
    assert "number" in found["u5"]["error"]
    assert found["u4"]["output"] == {"recommendedItems": []}


def test_a_list_is_filled_up_to_num_results(items_left: Callable[..., Any]) -> None:
    entry = items_left('EXCLUDE ItemID WHERE Items.GENRE IN ("drama")', {"userId": "u2"}, numResults=20)["u2"]
    assert len(items(entry)) == 20
    scores = entry["output"]["scores"]
    assert scores == sorted(scores, reverse=True)


VALID = [
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")',
    "INCLUDE ItemID WHERE Items.PRICE >= $MIN AND Items.PRICE <= $MAX",
    "EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE",
    'INCLUDE ItemID WHERE Items.GENRE IN ($CAT) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")',
    "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)",
]


@pytest.mark.parametrize("expression", VALID)
def test_valid_expressions_are_accepted(make_filter: Callable[[str], str], expression: str) -> None:
    assert ":filter/filter-" in make_filter(expression)


INVALID = [
    "INCLUDE ItemID WHERE Items.IS_ADULT = true",
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") AND Items.PRICE > 5',
    "EXCLUDE ItemID WHERE Interactions.EVENT_VALUE > 3",
    'EXCLUDE ItemID WHERE Items.GENRE IN ("*")',
    "INCLUDE ItemID WHERE CurrentUser.AGE > 18",
    "INCLUDE ItemID IF CurrentUser.AGE > 18",
    'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF CurrentUser.AGE > 1 IF CurrentUser.AGE > 2',
    'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF CurrentUser.AGE > 1 OR CurrentUser.AGE > 2',
    'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF Items.PRICE > 1',
    'INCLUDE ItemID WHERE Items.DESCRIPTION IN ("luxury")',
    "INCLUDE ItemID WHERE Items.NO_SUCH_FIELD = 1",
    "INCLUDE ItemID WHERE (Items.PRICE = 1 OR Items.PRICE = 2) AND Items.PRICE = 3",
    'INCLUDE ItemID WHERE Items.GENRE = "drama"',
    'INCLUDE ItemID WHERE Items.PRICE IN ("cheap")',
    'INCLUDE ItemID WHERE Items.GENRE IN ("drama"',
    'INCLUDE ItemID WHERE Items.GENRE IN ("drama") extra',
    "INCLUDE UserID WHERE Users.AGE > 3",
    "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE",
    "INCLUDE ItemID WHERE Items.PRICE < #",
]


@pytest.mark.parametrize("expression", INVALID)
def test_invalid_expressions_are_refused(
    shop: Any, group: str, refused: Callable[..., Any], expression: str
) -> None:
    create = shop.personalize.create_filter
    error = refused(create, name="no", datasetGroupArn=group, filterExpression=expression)
    assert error.code == "InvalidInputException"
    assert error.message.startswith("Could not create filter. Invalid Expression")


def test_a_placeholder_with_not_in_has_the_text_of_the_service(
    shop: Any, group: str, refused: Callable[..., Any]
) -> None:
    expression = "INCLUDE ItemID WHERE Items.GENRE NOT IN ($G)"
    error = refused(
        shop.personalize.create_filter, name="no", datasetGroupArn=group, filterExpression=expression
    )
    assert error.message == (
        "Could not create filter. Invalid input symbol: $G. Placeholders are not allowed with NOT_IN operator."
    )


def test_a_filter_of_another_group_is_refused(
    shop: Any, trained: dict[str, Any], refused: Callable[..., Any]
) -> None:
    other = shop.group()
    shop.dataset(other)
    arn = shop.personalize.create_filter(
        name="foreign",
        datasetGroupArn=other,
        filterExpression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
    )["filterArn"]
    shop.wait("Filter", arn)
    blocked = refused(shop.personalize.delete_dataset_group, datasetGroupArn=other)
    assert blocked.code == "ResourceInUseException"
    error = refused(
        shop.personalize.create_batch_inference_job,
        jobName="foreign-filter",
        solutionVersionArn=trained["aws-user-personalization"]["solutionVersionArn"],
        filterArn=arn,
        jobInput={"s3DataSource": {"path": "s3://bucket/in/"}},
        jobOutput={"s3DataDestination": {"path": "s3://bucket/out/"}},
        roleArn="arn:aws:iam::000000000000:role/r",
    )
    assert error.code == "InvalidInputException"
    shop.personalize.delete_filter(filterArn=arn)
    shop.wait_gone(lambda: shop.personalize.list_filters(datasetGroupArn=other)["Filters"])
    assert refused(shop.personalize.describe_filter, filterArn=arn).code == "ResourceNotFoundException"
