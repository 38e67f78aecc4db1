"""Parse filter expressions.

Grammar: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from personalize_local.errors import ApiError, invalid_input

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"]*"|'[^']*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<param>\$[A-Za-z0-9_]{1,50})"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<symbol><=|>=|!=|[=<>().,|*]))"""
)
COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
ANY = "*"


@dataclass(frozen=True)
class Parameter:
    """Stand for a value that each line of the input gives (`$NAME`)."""

    name: str


Value = str | float | Parameter


@dataclass(frozen=True)
class Condition:
    """Test one field: operator `IN`, `NOT IN` or a comparison."""

    dataset: str
    field: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Expression:
    """Include or exclude items: `where` is an OR of ANDs, `only_if` an AND about the current user."""

    includes: bool
    where: tuple[tuple[Condition, ...], ...]
    only_if: tuple[Condition, ...] = ()

    def conditions(self) -> Iterator[Condition]:
        """Give all conditions, those about the user last."""
        for group in self.where:
            yield from group
        yield from self.only_if

    def parameters(self) -> set[str]:
        """Return the names of the values that a line has to give."""
        values = (value for condition in self.conditions() for value in condition.values)
        return {value.name for value in values if isinstance(value, Parameter)}


def invalid_expression(problem: str) -> ApiError:
    """Refuse a filter in the service's words."""
    return invalid_input(f"Could not create filter. Invalid Expression: {problem}.")


def parse_filter(text: str) -> tuple[Expression, ...]:
    """Return the chained expressions of a filter; raise InvalidInputException."""
    return _Parser(text).filter()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _Token("end", "the end")]
        self._at = 0

    def filter(self) -> tuple[Expression, ...]:
        expressions = [self._expression()]
        while self._accept("|"):
            expressions.append(self._expression())
        if self._next.kind != "end":
            raise self._unexpected("the end")
        return tuple(expressions)

    def _expression(self) -> Expression:
        includes = self._one_of("INCLUDE", "EXCLUDE") == "INCLUDE"
        subject = self._one_of("ITEMID", "USERID", "ACTIONID")
        if subject != "ITEMID":
            raise invalid_expression(f"this server filters items only, not {subject}")
        self._one_of("WHERE")
        groups = [[self._condition()]]
        while self._next.text.upper() in {"AND", "OR"}:
            if self._one_of("AND", "OR") == "AND":
                groups[-1].append(self._condition())
            else:
                groups.append([self._condition()])
        return Expression(includes, tuple(tuple(group) for group in groups), self._only_if())

    def _only_if(self) -> tuple[Condition, ...]:
        conditions = []
        if self._accept("IF"):
            conditions.append(self._condition())
            while self._accept("AND"):
                conditions.append(self._condition())
        return tuple(conditions)

    def _condition(self) -> Condition:
        dataset = self._word()
        self._one_of(".")
        field = self._word()
        if self._accept("NOT"):
            self._one_of("IN")
            return Condition(dataset, field, "NOT IN", self._value_list("NOT IN"))
        if self._accept("IN"):
            return Condition(dataset, field, "IN", self._value_list("IN"))
        operator = self._one_of(*COMPARISONS)
        return Condition(dataset, field, operator, (self._value(operator),))

    def _value_list(self, operator: str) -> tuple[Value, ...]:
        self._one_of("(")
        values = [self._value(operator)]
        while self._accept(","):
            values.append(self._value(operator))
        self._one_of(")")
        return tuple(values)

    def _value(self, operator: str) -> Value:
        token = self._take()
        if token.kind == "string":
            return token.text[1:-1]
        if token.kind == "number":
            return float(token.text)
        if token.text == ANY and operator == "IN":
            return ANY
        if token.kind != "param":
            self._at -= 1
            raise self._unexpected("a value")
        if operator == "NOT IN":
            raise invalid_input(
                f"Could not create filter. Invalid input symbol: {token.text}."
                " Placeholders are not allowed with NOT_IN operator."
            )
        return Parameter(token.text[1:])

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _accept(self, text: str) -> bool:
        # A quoted value is never a keyword, whatever it says.
        found = self._next.kind in {"word", "symbol"} and self._next.text.upper() == text
        self._at += found
        return found

    def _one_of(self, *texts: str) -> str:
        for text in texts:
            if self._accept(text):
                return text
        raise self._unexpected(" or ".join(sorted(texts)))

    def _word(self) -> str:
        if self._next.kind != "word":
            raise self._unexpected("a name")
        return self._take().text

    def _unexpected(self, expected: str) -> ApiError:
        return invalid_expression(f"expected {expected} and found {self._next.text}")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid_expression(f"unknown symbol at {text[at : at + 20].strip()}")
        yield _Token(match.lastgroup, match.group(match.lastgroup))
        at = match.end()
