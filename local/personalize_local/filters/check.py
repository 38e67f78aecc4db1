"""Check a parsed filter against the schemas of its dataset group and the recipe of a job.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from personalize_local.datasets.avro import NUMERIC_TYPES, DatasetSchema, Field
from personalize_local.errors import invalid_input
from personalize_local.filters.expressions import (
    ANY,
    Condition,
    CurrentItem,
    Expression,
    Placeholder,
    Word,
    fields_of,
    invalid_expression,
    parse_filter,
    uses_current_item,
)
from personalize_local.recipes import Recipe

# Quota of distinct fields in one filter: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_FIELDS = 10
_CURRENT_USER = "CURRENTUSER"
# Fields of actions that cannot be filtered on; the guide uses both names of the first.
_UNFILTERABLE = {
    "ACTIONS": frozenset({"ACTION_EXPIRATION_TIMESTAMP", "EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY"})
}

Schemas = Mapping[str, DatasetSchema]
_SUBJECT_OF_TYPE = {"USER_SEGMENTATION": "USER_ID", "PERSONALIZED_ACTIONS": "ACTION_ID"}
_RELATED_ITEMS = "RELATED_ITEMS"
_WITHOUT_INTERACTIONS = frozenset({"aws-item-attribute-affinity"})


@dataclass(frozen=True)
class Subject:
    """Subject of an expression, with the datasets it can use."""

    word: str
    id_column: str
    metadata: str
    events: str

    @property
    def datasets(self) -> frozenset[str]:
        """Return the datasets allowed after WHERE."""
        return frozenset({self.metadata, self.events})


SUBJECTS = {
    "ITEM_ID": Subject("ItemID", "ITEM_ID", "ITEMS", "INTERACTIONS"),
    "USER_ID": Subject("UserID", "USER_ID", "USERS", "INTERACTIONS"),
    "ACTION_ID": Subject("ActionID", "ACTION_ID", "ACTIONS", "ACTION_INTERACTIONS"),
}


def checked_filter(text: str, schemas: Schemas) -> tuple[Expression, ...]:
    """Return the expressions of a filter, with dataset types in upper case and field names of the schemas.

    :param schemas: schemas of the dataset group by dataset type.
    :raises ApiError: InvalidInputException for an invalid filter.
    """
    expressions = tuple(_Check(expression, schemas).checked() for expression in parse_filter(text))
    if len({expression.subject for expression in expressions}) > 1:
        raise invalid_expression(
            "all expressions of a filter must be about the same one of ItemID, UserID, ActionID"
        )
    if len(fields_of(expressions)) > _MOST_FIELDS:
        raise invalid_expression(f"there can be at most {_MOST_FIELDS} distinct fields")
    return expressions


class _Check:
    """Check one expression."""

    def __init__(self, expression: Expression, schemas: Schemas) -> None:
        self._expression = expression
        self._schemas = schemas
        self._subject = SUBJECTS[expression.subject]

    def checked(self) -> Expression:
        for condition in self._expression.conditions():
            _refuse_placeholder_with_not_in(condition)
        where = tuple(tuple(self._after_where(c) for c in group) for group in self._expression.where)
        datasets = list(dict.fromkeys(condition.dataset for group in where for condition in group))
        if len(datasets) > 1:
            raise invalid_expression(
                f"conditions of one expression must use one dataset, not {' and '.join(datasets)}; "
                "chain expressions by |"
            )
        return replace(
            self._expression, where=where, only_if=tuple(map(self._after_if, self._expression.only_if))
        )

    def _after_where(self, condition: Condition) -> Condition:
        dataset = condition.dataset.upper()
        if dataset == _CURRENT_USER:
            raise invalid_expression(f"{condition.dataset} can be used after IF only")
        if dataset not in self._subject.datasets:
            raise invalid_expression(
                f"{condition.dataset} cannot be used after WHERE in a filter of {self._subject.word}"
            )
        field = self._field(dataset, condition.dataset, condition.field)
        if dataset == self._subject.events:
            _check_event_type(condition, field)
            return replace(condition, dataset=dataset, field=field.name)
        values = tuple(
            self._current_item(condition, field, value) if isinstance(value, CurrentItem) else value
            for value in condition.values
        )
        checked = replace(condition, dataset=dataset, field=field.name, values=values)
        _check_types(checked, field)
        return checked

    def _after_if(self, condition: Condition) -> Condition:
        if condition.dataset.upper() != _CURRENT_USER:
            raise invalid_expression(f"IF can be about CurrentUser only, not {condition.dataset}")
        if self._subject.word == "UserID":
            raise invalid_expression("a filter of UserID has no CurrentUser")
        if condition.current_item_field:
            raise invalid_expression("CurrentItem cannot be used after IF")
        field = self._field("USERS", condition.dataset, condition.field)
        _check_types(condition, field)
        return replace(condition, dataset="USERS", field=field.name)

    def _current_item(self, condition: Condition, field: Field, value: CurrentItem) -> CurrentItem:
        if self._subject.word != "ItemID":
            raise invalid_expression(f"a filter of {self._subject.word} has no CurrentItem")
        other = self._field("ITEMS", "CurrentItem", value.field)
        if (other.type in NUMERIC_TYPES) != (field.type in NUMERIC_TYPES):
            raise invalid_expression(
                f"{condition.field} and CurrentItem.{value.field} cannot be compared: one is a number"
            )
        return CurrentItem(other.name)

    def _field(self, dataset: str, written: str, name: str) -> Field:
        """Return a filterable field."""
        if dataset not in self._schemas:
            raise invalid_expression(f"the dataset group has no dataset {dataset}")
        fields = (field for field in self._schemas[dataset].fields if field.name.upper() == name.upper())
        field = next(fields, None)
        if field is None:
            raise invalid_expression(f"{written}.{name} is not in the schema of {dataset}")
        if field.type == "boolean" or field.textual:
            kind = "textual" if field.textual else "boolean"
            raise invalid_expression(f"{written}.{name} is {kind} and cannot be filtered on")
        if field.name in _UNFILTERABLE.get(dataset, ()):
            raise invalid_expression(f"{written}.{name} cannot be filtered on")
        return field


def _refuse_placeholder_with_not_in(condition: Condition) -> None:
    for value in condition.values:
        if isinstance(value, Placeholder) and condition.operator == "NOT IN":
            raise invalid_input(
                f"Could not create filter. Invalid input symbol: ${value.name}."
                " Placeholders are not allowed with NOT_IN operator."
            )


def _check_event_type(condition: Condition, field: Field) -> None:
    written = f"{condition.dataset}.{condition.field}"
    if field.name != "EVENT_TYPE":
        raise invalid_expression(
            f"{written} cannot be filtered on: only EVENT_TYPE of {condition.dataset} can"
        )
    if condition.is_comparison or condition.current_item_field:
        raise invalid_expression("EVENT_TYPE can be used with IN (...) and NOT IN (...) only")
    for value in condition.values:
        if not isinstance(value, str | Placeholder):
            raise invalid_expression(f"{_shown(value)} is not a quoted text, as values of EVENT_TYPE are")
    if ANY in condition.values and (condition.operator != "IN" or len(condition.values) > 1):
        raise invalid_expression('"*" must be the only value, and of IN')


def _check_types(condition: Condition, field: Field) -> None:
    if ANY in condition.values:
        raise invalid_expression(f'"*" can be used with EVENT_TYPE only, not with {condition.field}')
    numeric = field.type in NUMERIC_TYPES
    if condition.is_comparison and not numeric:
        raise invalid_expression(f"{condition.field} is not numeric: use IN instead of {condition.operator}")
    for value in condition.values:
        if isinstance(value, Placeholder | CurrentItem):
            continue
        if isinstance(value, Word) or isinstance(value, int | float) != numeric:
            wanted = "a number" if numeric else "a quoted text"
            raise invalid_expression(f"{_shown(value)} is not {wanted}, as values of {condition.field} are")


def _shown(value: object) -> str:
    return value.text if isinstance(value, Word) else f'"{value}"' if isinstance(value, str) else str(value)


def check_usable(text: str, recipe: Recipe) -> None:
    """Refuse a filter expression that does not fit the results of the recipe. The error texts are not documented.

    :raises ApiError: InvalidInputException.
    """
    expressions = parse_filter(text)
    wanted = SUBJECTS[_SUBJECT_OF_TYPE.get(recipe.recipe_type, "ITEM_ID")].word
    found = SUBJECTS[expressions[0].subject].word
    if found != wanted:
        raise invalid_input(f"The recipe {recipe.name} needs a filter of {wanted}, not of {found}.")
    if uses_current_item(expressions) and recipe.recipe_type != _RELATED_ITEMS:
        raise invalid_input(f"A filter that uses CurrentItem is for related items, not for {recipe.name}.")
    datasets = {c.dataset.upper() for expression in expressions for c in expression.conditions()}
    if recipe.name in _WITHOUT_INTERACTIONS and "INTERACTIONS" in datasets:
        raise invalid_input(f"A filter that uses Interactions cannot be used with the recipe {recipe.name}.")
