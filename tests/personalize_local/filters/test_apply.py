"""What a filter leaves, where no batch job of a user's recipe shows it: related items, segments, actions, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from filter_shop import (
    ACTION_INTERACTIONS,
    ACTIONS,
    INTERACTIONS,
    ITEM_IDS,
    ITEMS,
    ROWS,
    USERS,
    schema_text,
)

from personalize_local.datasets.avro import DatasetSchema, parse_schema
from personalize_local.errors import ApiError
from personalize_local.filters.apply import FilterData, ItemFilter, UserFilter
from personalize_local.filters.check import check_usable, checked_filter
from personalize_local.filters.values import MissingParameter
from personalize_local.recipes import RECIPES

Row = dict[str, Any]
ALL_USERS = {row["USER_ID"] for row in ROWS.users}
ACTION_ROWS = [
    {
        "ACTION_ID": f"a{n}",
        "VALUE": None if n == 4 else n,
        "KIND": "join",
        "EXPIRATION_TIMESTAMP": None,
        "REPEAT_FREQUENCY": 1,
    }
    for n in range(6)
]
TAKEN = [
    {"USER_ID": "u1", "ACTION_ID": "a1", "EVENT_TYPE": "Taken", "TIMESTAMP": 5},
    {"USER_ID": "u1", "ACTION_ID": "a2", "EVENT_TYPE": "Viewed", "TIMESTAMP": 6},
]
_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
}


def data(**rows: tuple[Row, list[Row]]) -> tuple[FilterData, dict[str, DatasetSchema]]:
    schemas = {kind: parse_schema(schema_text(schema)) for kind, (schema, _) in rows.items()}
    tables = {
        kind: pa.Table.from_pylist(
            listed, pa.schema([(field.name, _TYPES[field.type]) for field in schemas[kind].fields])
        )
        for kind, (_, listed) in rows.items()
    }
    return FilterData(tables, schemas), schemas


SHOP, SCHEMAS = data(
    ITEMS=(ITEMS, ROWS.items),
    USERS=(USERS, ROWS.users),
    INTERACTIONS=(INTERACTIONS, ROWS.interactions),
    ACTIONS=(ACTIONS, ACTION_ROWS),
    ACTION_INTERACTIONS=(ACTION_INTERACTIONS, TAKEN),
)


def left_items(
    expression: str, user: str = "u2", item: str | None = None, **given: list[str | float]
) -> set[str]:
    allowed = ItemFilter(checked_filter(expression, SCHEMAS), SHOP, {user}).for_user(user, given, item)
    return kept(allowed, sorted(ITEM_IDS))


def left_users(expression: str, **given: list[str | float]) -> set[str]:
    allowed = UserFilter(checked_filter(expression, SCHEMAS), SHOP).for_values(given)
    return kept(allowed, sorted(ALL_USERS))


def kept(allowed: Any, ids: list[str]) -> set[str]:
    one_by_one = {each for each in ids if allowed(each)}
    assert {ids[place] for place in allowed.keep(ids, len(ids))} == one_by_one
    finite = allowed.ids()
    assert finite is None or finite & set(ids) == one_by_one
    return one_by_one


def where(test: Callable[[Row], bool], rows: list[Row] = ROWS.items, key: str = "ITEM_ID") -> set[str]:
    return {row[key] for row in rows if test(row)}


def test_related_items_are_compared_with_the_current_item() -> None:
    assert left_items(
        "INCLUDE ItemID WHERE Items.CATEGORY_L1 IN CurrentItem.CATEGORY_L1", item="i4"
    ) == where(lambda row: row["CATEGORY_L1"] == "hot dispensed")
    cheaper = (
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase") | '
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE"
    )
    assert left_items(cheaper, item="i5") == {"i0", "i1", "i2", "i3", "i4"} - ROWS.done("u2", "Purchase")
    # One of the categories of the current item is enough.
    assert left_items("INCLUDE ItemID WHERE Items.GENRE IN CurrentItem.GENRE", item="i2") == where(
        lambda row: row["GENRE"] == "drama|war"
    )


@pytest.mark.parametrize("current", ["i49", "i9"])
def test_a_current_item_without_the_field_meets_nothing(current: str) -> None:
    assert left_items("INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE", item=current) == set()
    assert left_items("EXCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE", item=current) == ITEM_IDS


def test_a_line_without_an_item_fails_where_the_filter_needs_one() -> None:
    with pytest.raises(MissingParameter, match="itemId"):
        left_items("INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE")


def test_segments_hold_the_users_that_the_filter_leaves() -> None:
    assert left_users(
        "INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ($MEMBERSHIP)", MEMBERSHIP=["gold"]
    ) == where(lambda row: row["MEMBERSHIP_STATUS"] == "gold", ROWS.users, "USER_ID")
    assert left_users("EXCLUDE UserID WHERE Users.AGE < $AGE", AGE=["30", 30.0]) == where(
        lambda row: row["AGE"] is None or row["AGE"] >= 30, ROWS.users, "USER_ID"
    )
    assert left_users('exclude UserId where users.country in ("England", "Japan")') == where(
        lambda row: row["COUNTRY"] == "Peru", ROWS.users, "USER_ID"
    )
    assert left_users("EXCLUDE UserID WHERE Users.AGE < $AGE") == ALL_USERS
    with pytest.raises(MissingParameter, match="MEMBERSHIP"):
        left_users("INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ($MEMBERSHIP)")


def test_segments_leave_out_users_by_what_they_did() -> None:
    rows = [{**row, "EVENT_TYPE": "complaint"} for row in ROWS.interactions if row["USER_ID"] == "u7"]
    gone = {**ROWS.interactions[0], "USER_ID": "u99"}
    shop, schemas = data(
        INTERACTIONS=(INTERACTIONS, [*ROWS.interactions, *rows, gone]), USERS=(USERS, ROWS.users)
    )
    excluded = checked_filter('EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("complaint")', schemas)
    assert kept(UserFilter(excluded, shop).for_values({}), sorted(ALL_USERS)) == ALL_USERS - {"u7"}
    both = checked_filter(
        'INCLUDE UserID WHERE Users.AGE > 50 | INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("complaint")',
        schemas,
    )
    users = sorted(ALL_USERS | {"u99"})
    assert kept(UserFilter(both, shop).for_values({}), users) == {"u7", *(f"u{n}" for n in range(51, 60))}
    assert kept(UserFilter(both, shop, ["u7", "u51", "u1"]).for_values({}), ["u1", "u7", "u51"]) == {
        "u7",
        "u51",
    }


def test_actions_are_filtered_by_field_and_by_what_was_done() -> None:
    def left(expression: str) -> set[str]:
        expressions = checked_filter(expression, SCHEMAS)
        return kept(ItemFilter(expressions, SHOP, ["u1"]).for_user("u1", {}), [f"a{n}" for n in range(6)])

    assert left("INCLUDE ActionID WHERE Actions.VALUE >= 2") == {"a2", "a3", "a5"}
    assert left('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("taken")') == {
        "a0",
        "a2",
        "a3",
        "a4",
        "a5",
    }
    assert left("INCLUDE ActionID WHERE Actions.VALUE > 1 IF CurrentUser.AGE = 1") == {"a2", "a3", "a5"}
    for name in ("EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY"):
        with pytest.raises(ApiError, match=f"Actions.{name} cannot be filtered on"):
            left(f"INCLUDE ActionID WHERE Actions.{name} > 1")


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("INCLUDE ItemID WHERE Items.PRICE = 1 OR Items.PRICE = 2 AND Items.PRICE = 3", {"i1"}),
        ("INCLUDE ItemID WHERE Items.PRICE = 2 AND Items.PRICE = 3 OR Items.PRICE = 1", {"i1"}),
        ("INCLUDE ItemID WHERE Items.PRICE < 2 | INCLUDE ItemID WHERE Items.PRICE > 47", {"i0", "i1", "i48"}),
        ("EXCLUDE ItemID WHERE Items.PRICE > 0 | EXCLUDE ItemID WHERE Items.YEAR < 1969", {"i9", "i49"}),
        ("INCLUDE ItemID WHERE Items.PRICE < 3 | EXCLUDE ItemID WHERE Items.PRICE = 1", {"i0", "i2"}),
        ("EXCLUDE ItemID WHERE Items.PRICE = 1 | INCLUDE ItemID WHERE Items.PRICE < 3", {"i0", "i2"}),
        ("INCLUDE ItemID WHERE Items.YEAR IN (1961, 1962.0) AND Items.PRICE != 2", {"i1"}),
        (
            'INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE = 2 AND CurrentUser.COUNTRY IN ("Japan")',
            {"i0", "i1"},
        ),
        (
            'INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE = 2 AND CurrentUser.COUNTRY IN ("Peru")',
            ITEM_IDS,
        ),
        # A null meets no condition: neither of an INCLUDE nor of an EXCLUDE.
        ('INCLUDE ItemID WHERE Items.STYLE NOT IN ("boot") AND Items.YEAR < 1965', {"i1", "i4"}),
        (
            'EXCLUDE ItemID WHERE Items.STYLE NOT IN ("boot") | INCLUDE ItemID WHERE Items.YEAR < 1963',
            {"i0", "i2"},
        ),
        # Texts are equal or not: letter case counts, and only a categorical field is parted at "|".
        ('INCLUDE ItemID WHERE Items.GENRE IN ("Drama")', set()),
        ('INCLUDE ItemID WHERE Items.GENRE NOT IN ("war") AND Items.YEAR < 1964', {"i1", "i3"}),
    ],
)
def test_conditions_combine(expression: str, left: set[str]) -> None:
    assert left_items(expression) == left


def test_an_unknown_user_meets_no_if_and_has_done_nothing() -> None:
    assert (
        left_items("INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE > 0", user="stranger") == ITEM_IDS
    )
    assert left_items("INCLUDE ItemID WHERE Items.PRICE < 2 IF CurrentUser.AGE > 0", user="u3") == ITEM_IDS
    assert left_items('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', user="stranger") == ITEM_IDS
    assert left_items('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', user="stranger") == set()


def test_the_last_100_events_of_each_type_are_seen() -> None:
    def event(item: int, kind: str, second: int) -> Row:
        return {
            "USER_ID": "u1",
            "ITEM_ID": f"i{item}",
            "EVENT_TYPE": kind,
            "EVENT_VALUE": None,
            "TIMESTAMP": second,
        }

    rows = [event(n, "Buy", n) for n in range(120)] + [event(200, "view", 0)]
    other = [{**event(n, "Buy", n), "USER_ID": "u2"} for n in range(3)]
    shop, schemas = data(INTERACTIONS=(INTERACTIONS, [*rows[::-1], *other]))
    seen = checked_filter('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', schemas)
    by_user = ItemFilter(seen, shop, ["u1", "u2"])
    assert by_user.for_user("u1", {}).ids() == {*(f"i{n}" for n in range(20, 120)), "i200"}
    assert by_user.for_user("u2", {}).ids() == {"i0", "i1", "i2"}
    not_bought = checked_filter('INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("buy")', schemas)
    assert ItemFilter(not_bought, shop, ["u1"]).for_user("u1", {}).ids() == {"i200"}


def test_the_last_row_of_an_item_counts() -> None:
    rows = [{**ROWS.items[1], "PRICE": 70.0}, {**ROWS.items[2], "PRICE": 80.0}]
    shop, schemas = data(ITEMS=(ITEMS, [*ROWS.items, *rows]))
    dear = ItemFilter(checked_filter("INCLUDE ItemID WHERE Items.PRICE > 48", schemas), shop, [])
    assert dear.for_user("u1", {}).ids() == {"i1", "i2"}


def test_a_dataset_without_rows_leaves_nothing_to_include() -> None:
    empty = FilterData({}, SCHEMAS)
    include = checked_filter("INCLUDE ItemID WHERE Items.PRICE > 1 IF CurrentUser.AGE > 1", SCHEMAS)
    assert ItemFilter(include, empty, ["u1"]).for_user("u1", {})("i1")
    for expression, left in (
        ("INCLUDE ItemID WHERE Items.PRICE > 1", False),
        ("EXCLUDE ItemID WHERE Items.PRICE > 1", True),
    ):
        assert ItemFilter(checked_filter(expression, SCHEMAS), empty, []).for_user("u1", {})("i1") is left
    users = checked_filter('INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")', SCHEMAS)
    assert UserFilter(users, empty).for_values({}).ids() == frozenset()


def recipe(name: str) -> Any:
    return RECIPES[f"arn:aws:personalize:::recipe/{name}"]


def test_each_recipe_takes_the_filters_of_what_it_answers() -> None:
    usable = {
        "aws-sims": "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE",
        "aws-item-affinity": 'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("x")',
        "aws-item-attribute-affinity": "EXCLUDE UserID WHERE Users.AGE < 1",
        "aws-next-best-action": "EXCLUDE ActionID WHERE Actions.VALUE < 1",
        "aws-user-personalization-v2": "EXCLUDE ItemID WHERE Items.PRICE < 1",
    }
    for name, expression in usable.items():
        check_usable(expression, recipe(name))
    for name, expression in [
        ("aws-item-attribute-affinity", usable["aws-item-affinity"]),
        ("aws-item-affinity", usable["aws-sims"]),
        ("aws-personalized-ranking", usable["aws-sims"]),
        ("aws-popularity-count", usable["aws-next-best-action"]),
    ]:
        with pytest.raises(ApiError, match=name):
            check_usable(expression, recipe(name))
