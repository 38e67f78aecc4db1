"""Look up recipes: ListRecipes, DescribeRecipe."""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.paging import DEFAULT_PAGE_ITEMS, make_token, read_token
from personalize_local.recipes import RECIPES, get_recipe


def list_recipes(context: Context, params: Params) -> dict[str, Any]:
    """Return the recipes of a domain, or all of them."""
    domain = params.get("domain")
    recipes = [recipe for recipe in RECIPES.values() if domain is None or recipe.domain == domain]
    key = f"ListRecipes|{context.region}|{domain}"
    first = read_token(key, params.get("nextToken"))
    end = first + params.get("maxResults", DEFAULT_PAGE_ITEMS)
    token = make_token(key, end) if end < len(recipes) else None
    return {"recipes": [recipe.body() for recipe in recipes[first:end]], "nextToken": token}


def describe_recipe(_context: Context, params: Params) -> dict[str, Any]:
    """Return one recipe."""
    return {"recipe": get_recipe(params["recipeArn"]).body()}


OPERATIONS = {"ListRecipes": list_recipes, "DescribeRecipe": describe_recipe}
