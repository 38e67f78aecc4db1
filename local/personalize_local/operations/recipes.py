"""Look up recipes, and the algorithms and feature transformations they consist of.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_DescribeRecipe.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import not_found
from personalize_local.operations.common import DEFAULT_PAGE_ITEMS, make_token, read_token
from personalize_local.recipes import RECIPE_DATE_SECONDS, RECIPES, Parameter, get_recipe

_DATES = {"creationDateTime": RECIPE_DATE_SECONDS, "lastUpdatedDateTime": RECIPE_DATE_SECONDS}


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


def describe_algorithm(_context: Context, params: Params) -> dict[str, Any]:
    """Return an algorithm with the defaults and ranges of its hyperparameters."""
    arn = params["algorithmArn"]
    for recipe in RECIPES.values():
        if recipe.algorithm_arn == arn:
            return {
                "algorithm": {
                    "name": _name(arn),
                    "algorithmArn": arn,
                    "defaultHyperParameters": _defaults(recipe.algorithm_parameters),
                    "defaultHyperParameterRanges": _ranges(recipe.algorithm_parameters),
                    "trainingInputMode": "File",
                    **_DATES,
                }
            }
    raise not_found(arn)


def describe_feature_transformation(_context: Context, params: Params) -> dict[str, Any]:
    """Return a feature transformation with the defaults of its parameters."""
    arn = params["featureTransformationArn"]
    for recipe in RECIPES.values():
        if recipe.feature_transformation_arn == arn:
            return {
                "featureTransformation": {
                    "name": _name(arn),
                    "featureTransformationArn": arn,
                    "defaultParameters": _defaults(recipe.feature_parameters),
                    "status": "ACTIVE",
                    **_DATES,
                }
            }
    raise not_found(arn)


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _defaults(parameters: Iterable[Parameter]) -> dict[str, str]:
    return {parameter.name: parameter.default for parameter in parameters}


def _ranges(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    return {
        "integerHyperParameterRanges": [
            {**_range(parameter), "minValue": int(parameter.low), "maxValue": int(parameter.high)}
            for parameter in parameters
            if parameter.type == "int"
        ],
        "continuousHyperParameterRanges": [
            {**_range(parameter), "minValue": parameter.low, "maxValue": parameter.high}
            for parameter in parameters
            if parameter.type == "float"
        ],
        "categoricalHyperParameterRanges": [
            {**_range(parameter), "values": list(parameter.choices)}
            for parameter in parameters
            if parameter.choices
        ],
    }


def _range(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.name, "isTunable": parameter.tunable}


OPERATIONS = {
    "ListRecipes": list_recipes,
    "DescribeRecipe": describe_recipe,
    "DescribeAlgorithm": describe_algorithm,
    "DescribeFeatureTransformation": describe_feature_transformation,
}
