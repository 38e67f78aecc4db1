"""What is no filter, and how that is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

INVALID = "Could not create filter. Invalid Expression: "
# Expression, beginning of the refusal (documented where it names the placeholder), what the reason names.
DOCUMENTED = [
    (
        "INCLUDE ItemID WHERE Items.GENRE NOT IN ($G)",
        "Could not create filter. Invalid input symbol: $G. Placeholders are not allowed with NOT_IN operator.",
        [],
    ),
    ("INCLUDE ItemID WHERE Items.IS_ADULT = true", INVALID, ["Items.IS_ADULT", "boolean"]),
    (
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") AND Items.PRICE > 5',
        INVALID,
        ["one dataset", "INTERACTIONS and ITEMS"],
    ),
    (
        "EXCLUDE ItemID WHERE Interactions.EVENT_VALUE > 3",
        INVALID,
        ["Interactions.EVENT_VALUE", "only EVENT_TYPE"],
    ),
    ('EXCLUDE ItemID WHERE Items.GENRE IN ("*")', INVALID, ['"*"', "GENRE"]),
    ("INCLUDE ItemID WHERE CurrentUser.AGE > 18", INVALID, ["CurrentUser", "after IF"]),
    ("INCLUDE ItemID IF CurrentUser.AGE > 18", INVALID, ["IF at character 16", "expected WHERE"]),
    (
        'INCLUDE ItemID WHERE Items.A IN ("x") IF CurrentUser.B > 1 IF CurrentUser.C > 2',
        INVALID,
        ["IF at character 60", "one IF"],
    ),
    (
        'INCLUDE ItemID WHERE Items.A IN ("x") IF CurrentUser.B > 1 OR CurrentUser.C > 2',
        INVALID,
        ["OR at character 60", "only AND"],
    ),
    ('INCLUDE ItemID WHERE Items.DESCRIPTION IN ("luxury")', INVALID, ["Items.DESCRIPTION", "textual"]),
    (
        "INCLUDE ItemID WHERE Items.NO_SUCH_FIELD = 1",
        INVALID,
        ["Items.NO_SUCH_FIELD", "not in the schema of ITEMS"],
    ),
    (
        "INCLUDE ItemID WHERE (Items.A = 1 OR Items.B = 2) AND Items.C = 3",
        INVALID,
        ["( at character 22", "cannot be grouped"],
    ),
    ('INCLUDE ItemID WHERE Items.GENRE = "drama"', INVALID, ["GENRE is not numeric", "use IN"]),
]
REFUSED = [
    *DOCUMENTED,
    # The same with fields that are there.
    (
        'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF CurrentUser.AGE > 1 IF CurrentUser.AGE > 2',
        INVALID,
        ["IF at character 66", "one IF"],
    ),
    (
        'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF CurrentUser.AGE > 1 OR CurrentUser.AGE > 2',
        INVALID,
        ["OR at character 66", "only AND"],
    ),
    (
        "INCLUDE ItemID WHERE (Items.PRICE = 1 OR Items.YEAR = 2) AND Items.PRICE = 3",
        INVALID,
        ["( at character 22", "cannot be grouped"],
    ),
    # The rest is not in the guide's list.
    ('INCLUDE ItemID WHERE Items.STYLE IN ("x") IF Items.PRICE > 1', INVALID, ["IF", "not Items"]),
    ('INCLUDE ItemID WHERE Items.PRICE IN ("cheap")', INVALID, ['"cheap"', "number"]),
    ("INCLUDE ItemID WHERE Items.STYLE IN (5)", INVALID, ["5", "quoted"]),
    ("INCLUDE ItemID WHERE Items.STYLE IN (boot)", INVALID, ["boot", "quoted"]),
    ('INCLUDE ItemID WHERE Items.GENRE IN ("drama"', INVALID, ["the end", ")"]),
    ('INCLUDE ItemID WHERE Items.GENRE IN ("drama', INVALID, ['"drama at character 38']),
    ('INCLUDE ItemID WHERE Items.GENRE IN ("drama") extra', INVALID, ["extra at character 47"]),
    ("INCLUDE ItemID WHERE Items.PRICE < #", INVALID, ["# at character 36"]),
    ("INCLUDE ItemID WHERE Items.PRICE < $NO-NAME", INVALID, ["-NAME"]),
    (" ", INVALID, ["the end", "INCLUDE"]),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("*")', INVALID, ['"*"']),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*", "click")', INVALID, ['"*"', "only value"]),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE = "click"', INVALID, ["EVENT_TYPE", "IN"]),
    ("INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (3)", INVALID, ["3", "quoted"]),
    ('INCLUDE ItemID WHERE Users.COUNTRY IN ("Peru")', INVALID, ["Users", "ItemID"]),
    ("INCLUDE UserID WHERE Items.PRICE > 3", INVALID, ["Items", "UserID"]),
    ("INCLUDE UserID WHERE Users.AGE > 3 IF CurrentUser.AGE > 3", INVALID, ["UserID", "CurrentUser"]),
    ("INCLUDE ActionID WHERE Actions.VALUE > 3", INVALID, ["no dataset ACTIONS"]),
    (
        "INCLUDE UserID WHERE Users.AGE > 3 | INCLUDE ItemID WHERE Items.PRICE > 3",
        INVALID,
        ["ItemID, UserID, ActionID"],
    ),
    ("INCLUDE ItemID WHERE Items.PRICE < CurrentItem.STYLE", INVALID, ["PRICE", "CurrentItem.STYLE"]),
    ("INCLUDE ItemID WHERE Items.PRICE NOT IN CurrentItem.PRICE", INVALID, ["CurrentItem at character 41"]),
    (
        'INCLUDE ItemID WHERE Items.STYLE IN ("x") IF CurrentUser.AGE = CurrentItem.PRICE',
        INVALID,
        ["CurrentItem", "after IF"],
    ),
]


@pytest.mark.parametrize(("expression", "beginning", "named"), REFUSED)
def test_an_expression_is_refused_with_symbol_and_reason(
    world: Any,
    group: str,
    refused: Callable[..., Any],
    expression: str,
    beginning: str,
    named: list[str],
) -> None:
    error = refused(
        world.personalize.create_filter, name="refused", datasetGroupArn=group, filterExpression=expression
    )
    assert error.code == "InvalidInputException"
    assert error.message.startswith(beginning)
    assert [part for part in named if part not in error.message] == []
    if not named:
        assert error.message == beginning
    assert world.personalize.list_filters(datasetGroupArn=group)["Filters"] == []


def test_an_expression_of_2501_characters_is_refused(
    world: Any, group: str, refused: Callable[..., Any]
) -> None:
    expression = 'INCLUDE ItemID WHERE Items.STYLE IN ("' + "x" * 2461 + '")'
    assert len(expression) == 2501
    error = refused(
        world.personalize.create_filter, name="long", datasetGroupArn=group, filterExpression=expression
    )
    assert "2500" in error.message
