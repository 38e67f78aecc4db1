"""Refuse a filter that the recipe of a job cannot apply.

What each filter is for: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
The texts are not documented.
"""

from __future__ import annotations

from personalize_local.errors import invalid_input
from personalize_local.filters.check import SUBJECTS
from personalize_local.filters.expressions import uses_current_item
from personalize_local.filters.grammar import parse_filter
from personalize_local.recipes import Recipe

_SUBJECT_OF_TYPE = {"USER_SEGMENTATION": "USER_ID", "PERSONALIZED_ACTIONS": "ACTION_ID"}
_RELATED_ITEMS = "RELATED_ITEMS"
_WITHOUT_INTERACTIONS = frozenset({"aws-item-attribute-affinity"})


def check_usable(text: str, recipe: Recipe) -> None:
    """Refuse a filter (its expression) with a recipe that answers something else than it filters.

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
