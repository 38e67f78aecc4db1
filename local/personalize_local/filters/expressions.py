"""Parse filter expressions by `grammar.lark` into expressions, conditions and values.

Grammar: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from personalize_local.errors import ApiError, invalid_input

COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
ANY = "*"
# Names of the grammar's symbols in error messages.
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


@dataclass(frozen=True)
class Placeholder:
    """Placeholder `$NAME` for a value from each input line."""

    name: str


@dataclass(frozen=True)
class CurrentItem:
    """Field of the queried item (`CurrentItem.FIELD`), for related items."""

    field: str


@dataclass(frozen=True)
class Word:
    """Value without quotes, which no field accepts."""

    text: str


Value = str | int | float | Placeholder | CurrentItem | Word


@dataclass(frozen=True)
class Condition:
    """Condition on one field: `IN`, `NOT IN` or a comparison, which has one value."""

    dataset: str
    field: str
    operator: str
    values: tuple[Value, ...]

    @property
    def is_comparison(self) -> bool:
        """Return whether the operator compares numbers."""
        return self.operator in COMPARISONS

    @property
    def current_item_field(self) -> str | None:
        """Return the field of the current item in the condition, if there is one."""
        return next((value.field for value in self.values if isinstance(value, CurrentItem)), None)


@dataclass(frozen=True)
class Expression:
    """Include or exclude ids: `where` is an OR of ANDs, `only_if` an AND about the current user."""

    includes: bool
    where: tuple[tuple[Condition, ...], ...]
    only_if: tuple[Condition, ...] = ()
    subject: str = "ITEM_ID"

    def conditions(self) -> Iterator[Condition]:
        """Yield all conditions, those about the user last."""
        for group in self.where:
            yield from group
        yield from self.only_if

    def parameters(self) -> set[str]:
        """Return the names of all placeholders."""
        values = (value for condition in self.conditions() for value in condition.values)
        return {value.name for value in values if isinstance(value, Placeholder)}


def fields_of(expressions: Iterable[Expression]) -> set[tuple[str, str]]:
    """Return the distinct (dataset, field) pairs of a filter, including those of the current item."""
    conditions = [condition for expression in expressions for condition in expression.conditions()]
    named = {(condition.dataset, condition.field) for condition in conditions}
    return named | {("ITEMS", c.current_item_field) for c in conditions if c.current_item_field}


def uses_current_item(expressions: Iterable[Expression]) -> bool:
    """Return whether a filter can only be used for related items."""
    conditions = (condition for expression in expressions for condition in expression.conditions())
    return any(condition.current_item_field for condition in conditions)


def invalid_expression(problem: str) -> ApiError:
    """Refuse a filter with the service's message."""
    return invalid_input(f"Could not create filter. Invalid Expression: {problem}.")


def parse_filter(text: str) -> tuple[Expression, ...]:
    """Return the chained expressions of a filter.

    :raises ApiError: InvalidInputException with the unexpected symbol, its position and the expected ones.
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
    # The grammar accepts names as values only to give `true` a better error message.
    if "STRING" in names:
        names = [name for name in names if name != "NAME"]
    expected = " or ".join(_SPELT.get(name.lstrip("_"), name.lstrip("_")) for name in names)
    place = "" if symbol == "the end" else f" at character {column}"
    return invalid_expression(f"unexpected symbol {symbol}{place}, expected {expected}{_hint(symbol, names)}")


def _hint(symbol: str, allowed: list[str]) -> str:
    if symbol.startswith("("):
        return "; conditions cannot be grouped"
    # Only conditions after IF continue with AND but not with OR.
    if symbol.upper() in {"IF", "OR"} and "_AND" in allowed and "_OR" not in allowed:
        return "; an expression has one IF, at its end, and in it only AND"
    return ""


@v_args(inline=True)
class _Expressions(Transformer[Token, tuple[Expression, ...]]):
    """Turn the tree into expressions; names keep their case."""

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

    def parameter(self, token: Token) -> Placeholder:
        return Placeholder(str(token[1:]))

    def word(self, token: Token) -> Word:
        return Word(str(token))
