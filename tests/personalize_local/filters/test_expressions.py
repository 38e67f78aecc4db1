"""The grammar: what is written is what is read, and nothing that is not a filter breaks the parser."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.extra.lark import from_lark

from personalize_local.errors import ApiError
from personalize_local.filters import expressions as grammar
from personalize_local.filters.expressions import (
    ANY,
    Condition,
    CurrentItem,
    Expression,
    Placeholder,
    Word,
    fields_of,
    parse_filter,
    uses_current_item,
)

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,12}\Z")
TEXTS = st.text(st.characters(blacklist_characters="\"'", blacklist_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(10**12), 10**12) | st.integers(-(10**6), 10**6).map(lambda n: n / 64)
PARAMETERS = st.from_regex(r"\A[A-Za-z0-9_]{1,50}\Z").map(Placeholder)
CURRENT_ITEM = NAMES.map(lambda name: (CurrentItem(name),))
VALUES = (
    TEXTS.filter(lambda text: text != ANY)
    | NUMBERS
    | PARAMETERS
    | NAMES.filter(lambda name: name.upper() != "CURRENTITEM").map(Word)
)
LISTS = st.lists(VALUES, min_size=1, max_size=3).map(tuple) | st.just((ANY,))
CONDITIONS = (
    st.builds(Condition, NAMES, NAMES, st.sampled_from(["IN", "NOT IN"]), LISTS)
    | st.builds(Condition, NAMES, NAMES, st.just("IN"), CURRENT_ITEM)
    | st.builds(
        Condition,
        NAMES,
        NAMES,
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        VALUES.map(lambda v: (v,)),
    )
    | st.builds(Condition, NAMES, NAMES, st.sampled_from(["=", "<="]), CURRENT_ITEM)
)
GROUPS = st.lists(CONDITIONS, min_size=1, max_size=3).map(tuple)
EXPRESSIONS = st.builds(
    Expression,
    st.booleans(),
    st.lists(GROUPS, min_size=1, max_size=3).map(tuple),
    st.just(()) | GROUPS,
    st.sampled_from(["ITEM_ID", "USER_ID", "ACTION_ID"]),
)
WORDS = {"ITEM_ID": "ItemID", "USER_ID": "userid", "ACTION_ID": "ACTIONID"}


def written(expression: Expression) -> str:
    where = " or ".join(" AND ".join(map(condition, group)) for group in expression.where)
    only_if = " AND ".join(map(condition, expression.only_if))
    action = "include" if expression.includes else "EXCLUDE"
    return f"{action} {WORDS[expression.subject]} WHERE {where}{' If ' + only_if if only_if else ''}"


def condition(each: Condition) -> str:
    name = f"{each.dataset}.{each.field}"
    if each.current_item_field:
        return f"{name} {each.operator} CurrentItem.{each.current_item_field}"
    values = ", ".join(map(value, each.values))
    return f"{name} {each.operator} {values}" if each.is_comparison else f"{name} {each.operator} ({values})"


def value(each: Any) -> str:
    if isinstance(each, Placeholder):
        return f"${each.name}"
    if isinstance(each, Word):
        return each.text
    if isinstance(each, str):
        return f"'{each}'" if len(each) % 2 else f'"{each}"'
    return f"{each:f}" if isinstance(each, float) else str(each)


@settings(deadline=None, max_examples=60)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3).map(tuple))
def test_what_is_written_is_what_is_read(expressions: tuple[Expression, ...]) -> None:
    assert parse_filter(" | ".join(map(written, expressions))) == expressions


@settings(deadline=None, max_examples=60)
@given(from_lark(grammar._parser(), start="filter"))
def test_every_text_of_the_grammar_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


_KEYWORDS = "INCLUDE exclude ItemID WHERE Items . PRICE IN NOT AND OR IF CurrentUser CurrentItem"
_SYMBOLS = '( ) , "a" \'b * | $P $ 5 -5.5 5. < <= = ! é'
PIECES = st.sampled_from([*_KEYWORDS.split(), *_SYMBOLS.split(), "\n"])


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES, max_size=25).map(" ".join) | st.lists(PIECES, max_size=25).map("".join) | st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    read_or_refused(text)


def read_or_refused(text: str) -> None:
    refusal = None
    try:
        assert parse_filter(text)
    except ApiError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code == "InvalidInputException"
        assert refusal.message.startswith("Could not create filter. Invalid Expression: unexpected symbol ")


def test_keywords_can_be_names_of_fields() -> None:
    (expression,) = parse_filter(
        "INCLUDE ItemID WHERE Items.IN IN ('a') AND Items.CurrentItem > 2 AND Items.IF = $if"
    )
    assert [c.field for c in expression.conditions()] == ["IN", "CurrentItem", "IF"]
    assert expression.parameters() == {"if"}


@pytest.mark.parametrize(
    "glued", ["INCLUDEItemID WHERE Items.A = 1", "INCLUDE ItemID WHERE Items.A = 1 ANDItems.B = 2"]
)
def test_keywords_end_where_names_do(glued: str) -> None:
    with pytest.raises(ApiError):
        parse_filter(glued)


def test_fields_are_counted_once_with_those_of_the_current_item() -> None:
    filters = parse_filter("INCLUDE ItemID WHERE ITEMS.A < CurrentItem.B AND ITEMS.A > 1 IF USERS.C = 1")
    assert fields_of(filters) == {("ITEMS", "A"), ("ITEMS", "B"), ("USERS", "C")}
    assert uses_current_item(filters)
    assert not uses_current_item(parse_filter("INCLUDE ItemID WHERE ITEMS.A < 1"))
