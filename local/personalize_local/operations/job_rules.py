"""Hold the checks that batch inference jobs and batch segment jobs share."""

from __future__ import annotations

from personalize_local.context import Context, Params
from personalize_local.errors import invalid_input
from personalize_local.filters.usage import check_usable
from personalize_local.operations.common import find_active
from personalize_local.recipes import get_recipe
from personalize_local.resources import FILTER, Resource
from personalize_local.s3 import is_s3_uri

DEFAULT_RESULTS = 25  # numResults when not given, by the service's API page


def check_filter(context: Context, arn: str | None, version: Resource) -> None:
    """Refuse a filter that is not ACTIVE, belongs to another dataset group, or is not for the version's recipe."""
    if arn is None:
        return
    found, group = find_active(context, FILTER, arn), version.body["datasetGroupArn"]
    if found.parent_arn != group:
        raise invalid_input(f"Filter {arn} does not belong to the dataset group {group}.")
    check_usable(found.body["filterExpression"], get_recipe(version.body["recipeArn"]))


def check_paths(params: Params) -> None:
    """Refuse what is not on S3, an output that is no folder, and an output over the input."""
    source = params["jobInput"]["s3DataSource"]["path"]
    destination = params["jobOutput"]["s3DataDestination"]["path"]
    if not is_s3_uri(source):
        raise invalid_input("Invalid S3 input path")
    if not is_s3_uri(destination) or not destination.endswith("/") or destination == source:
        raise invalid_input("Invalid S3 output path")


def number_of_results(params: Params, most: int | None = None) -> int:
    """Return numResults or its default; refuse less than 1 and more than `most`."""
    wanted = int(params.get("numResults", DEFAULT_RESULTS))
    if wanted < 1:
        raise invalid_input("numResults must be at least 1.")
    if most is not None and wanted > most:
        raise invalid_input(f"numResults must be at most {most}.")
    return wanted
