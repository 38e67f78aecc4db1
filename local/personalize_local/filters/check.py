"""Check a parsed filter against the schemas of its dataset group, and spell its names as they do.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

from __future__ import annotations

from dataclasses import replace

from personalize_local.datasets.avro import DatasetSchema, Field
from personalize_local.filters.grammar import (
    ANY,
    COMPARISONS,
    Condition,
    Expression,
    Parameter,
    invalid_expression,
    parse_filter,
)

# Quota of distinct fields in one filter: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_FIELDS = 10
_NUMERIC_TYPES = frozenset({"int", "long", "float", "double"})
_CURRENT_USER = "CURRENTUSER"
_WHERE_DATASETS = frozenset({"INTERACTIONS", "ITEMS"})

Schemas = dict[str, DatasetSchema]


def checked_filter(text: str, schemas: Schemas) -> tuple[Expression, ...]:
    """Return the expressions of a filter, datasets in upper case and fields as in the schemas.

    :param schemas: schemas of the dataset group by dataset type.
    :raises ApiError: InvalidInputException for what the service does not allow.
    """
    expressions = tuple(_expression(expression, schemas) for expression in parse_filter(text))
    fields = {(c.dataset, c.field) for expression in expressions for c in expression.conditions()}
    if len(fields) > _MOST_FIELDS:
        raise invalid_expression(f"there can be at most {_MOST_FIELDS} distinct fields")
    return expressions


def _expression(expression: Expression, schemas: Schemas) -> Expression:
    where = tuple(tuple(_item_condition(c, schemas) for c in group) for group in expression.where)
    if len({condition.dataset for group in where for condition in group}) > 1:
        raise invalid_expression("conditions of one expression must use one dataset; chain expressions by |")
    only_if = tuple(_user_condition(condition, schemas) for condition in expression.only_if)
    return replace(expression, where=where, only_if=only_if)


def _item_condition(condition: Condition, schemas: Schemas) -> Condition:
    dataset = condition.dataset.upper()
    if dataset not in _WHERE_DATASETS:
        raise invalid_expression(f"{condition.dataset} cannot be used after WHERE in a filter of items")
    field = _field(condition, dataset, schemas)
    if dataset == "INTERACTIONS":
        _check_event_type(condition, field)
    elif ANY in condition.values:
        raise invalid_expression('"*" can be used with Interactions.EVENT_TYPE only')
    else:
        _check_types(condition, field)
    return replace(condition, dataset=dataset, field=field.name)


def _user_condition(condition: Condition, schemas: Schemas) -> Condition:
    if condition.dataset.upper() != _CURRENT_USER:
        raise invalid_expression("IF can be about CurrentUser only")
    field = _field(condition, "USERS", schemas)
    if ANY in condition.values:
        raise invalid_expression('"*" can be used with Interactions.EVENT_TYPE only')
    _check_types(condition, field)
    return replace(condition, dataset="USERS", field=field.name)


def _field(condition: Condition, dataset: str, schemas: Schemas) -> Field:
    if dataset not in schemas:
        raise invalid_expression(f"the dataset group has no dataset {dataset}")
    for field in schemas[dataset].fields:
        if field.name.upper() == condition.field.upper():
            return field
    raise invalid_expression(f"the schema of {dataset} has no field {condition.field}")


def _check_event_type(condition: Condition, field: Field) -> None:
    if field.name != "EVENT_TYPE":
        raise invalid_expression("of Interactions only EVENT_TYPE can be used")
    if condition.operator in COMPARISONS or any(isinstance(value, float) for value in condition.values):
        raise invalid_expression("EVENT_TYPE can be used with IN and NOT IN, and strings, only")
    if ANY in condition.values and (condition.operator != "IN" or len(condition.values) > 1):
        raise invalid_expression('"*" must be the only value, and of IN')


def _check_types(condition: Condition, field: Field) -> None:
    if field.type == "boolean" or field.textual:
        raise invalid_expression(f"{field.name} is boolean or textual and cannot be filtered on")
    numeric = field.type in _NUMERIC_TYPES
    if condition.operator in COMPARISONS and not numeric:
        raise invalid_expression(f"{field.name} is not numeric: use IN instead of {condition.operator}")
    for value in condition.values:
        if not isinstance(value, Parameter) and isinstance(value, float) != numeric:
            raise invalid_expression(f"{value} does not have the type of {field.name}")
