"""Parse filter expressions by `grammar.lark`.

Grammar: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

from functools import cache

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from personalize_local.errors import ApiError, invalid_input
from personalize_local.filters.expressions import (
    ANY,
    Condition,
    CurrentItem,
    Expression,
    Parameter,
    Value,
    Word,
)

# How refusals spell what could have stood in a place.
_SPELT = {
    "$END": "the end",
    "VBAR": "|",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "DOT": ".",
    "ITEM_ID": "ItemID",
    "USER_ID": "UserID",
    "ACTION_ID": "ActionID",
    "CURRENT_ITEM": "CurrentItem",
    "COMPARISON": "a comparison",
    "NAME": "a name",
    "STRING": "a quoted text",
    "NUMBER": "a number",
    "PARAMETER": "a placeholder",
    "ANY": '"*"',
}


def invalid_expression(problem: str) -> ApiError:
    """Refuse a filter in the service's words."""
    return invalid_input(f"Could not create filter. Invalid Expression: {problem}.")


def parse_filter(text: str) -> tuple[Expression, ...]:
    """Return the chained expressions of a filter.

    :raises ApiError: InvalidInputException naming the symbol that does not fit, its place and what would.
    """
    try:
        tree = _parser().parse(text)
    except UnexpectedCharacters as error:
        raise _unexpected(
            text[error.pos_in_stream :].split(maxsplit=1)[0], error.column, error.allowed
        ) from None
    except UnexpectedToken as error:
        symbol = "the end" if error.token.type == "$END" else str(error.token)
        raise _unexpected(symbol, error.column, error.accepts or error.expected) from None
    parsed: tuple[Expression, ...] = _Expressions().transform(tree)
    return parsed


@cache
def _parser() -> Lark:
    return Lark.open("grammar.lark", rel_to=__file__, start="filter", parser="lalr", maybe_placeholders=True)


def _unexpected(symbol: str, column: int, allowed: set[str] | None) -> ApiError:
    names = sorted(allowed or ())
    # A value may be a name only so that the refusal of `true` can say more than this.
    if "STRING" in names:
        names = [name for name in names if name != "NAME"]
    expected = " or ".join(_SPELT.get(name.lstrip("_"), name.lstrip("_")) for name in names)
    place = "" if symbol == "the end" else f" at character {column}"
    return invalid_expression(f"unexpected symbol {symbol}{place}, expected {expected}{_hint(symbol, names)}")


def _hint(symbol: str, allowed: list[str]) -> str:
    if symbol.startswith("("):
        return "; conditions cannot be grouped"
    # Only the conditions of an IF can go on with AND and not with OR.
    if symbol.upper() in {"IF", "OR"} and "_AND" in allowed and "_OR" not in allowed:
        return "; an expression has one IF, at its end, and in it only AND"
    return ""


@v_args(inline=True)
class _Expressions(Transformer[Token, tuple[Expression, ...]]):
    """Turn the tree into expressions; names stay as they were written."""

    def filter(self, *expressions: Expression) -> tuple[Expression, ...]:
        return expressions

    def expression(
        self,
        action: str,
        subject: str,
        where: tuple[tuple[Condition, ...], ...],
        only_if: tuple[Condition, ...] | None,
    ) -> Expression:
        return Expression(action == "INCLUDE", where, only_if or (), subject)

    def action(self, token: Token) -> str:
        return token.type

    def subject(self, token: Token) -> str:
        return token.type

    def conditions(self, *groups: tuple[Condition, ...]) -> tuple[tuple[Condition, ...], ...]:
        return groups

    def all_of(self, *conditions: Condition) -> tuple[Condition, ...]:
        return conditions

    user_conditions = all_of

    def is_in(self, dataset: Token, field: Token, values: tuple[Value, ...]) -> Condition:
        return Condition(str(dataset), str(field), "IN", values)

    def is_not_in(self, dataset: Token, field: Token, values: tuple[Value, ...]) -> Condition:
        return Condition(str(dataset), str(field), "NOT IN", values)

    def is_in_current_item(self, dataset: Token, field: Token, other: Token) -> Condition:
        return Condition(str(dataset), str(field), "IN", (CurrentItem(str(other)),))

    def compares(self, dataset: Token, field: Token, operator: Token, value: Value) -> Condition:
        return Condition(str(dataset), str(field), str(operator), (value,))

    def compares_current_item(self, dataset: Token, field: Token, operator: Token, other: Token) -> Condition:
        return Condition(str(dataset), str(field), str(operator), (CurrentItem(str(other)),))

    def values(self, *values: Value) -> tuple[Value, ...]:
        return values

    def any_value(self, _token: Token) -> tuple[Value, ...]:
        return (ANY,)

    def string(self, token: Token) -> str:
        return str(token[1:-1])

    def number(self, token: Token) -> int | float:
        return float(token) if "." in token else int(token)

    def parameter(self, token: Token) -> Parameter:
        return Parameter(str(token[1:]))

    def word(self, token: Token) -> Word:
        return Word(str(token))
