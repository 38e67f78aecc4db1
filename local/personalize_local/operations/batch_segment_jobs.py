"""Start batch segments: users for items or item attributes. A job name can be used once, for ever.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.operations.job_rules import check_filter, check_paths, number_of_results
from personalize_local.recipes import get_recipe
from personalize_local.resources import BATCH_SEGMENT_JOB, SOLUTION_VERSION

# https://docs.aws.amazon.com/personalize/latest/dg/getting-user-segments.html
_MOST_USERS_PER_SEGMENT = 5_000_000


def create_batch_segment_job(context: Context, params: Params) -> dict[str, Any]:
    """Start a batch segment job on an ACTIVE solution version of a USER_SEGMENTATION recipe."""
    arn = context.arn(f"{BATCH_SEGMENT_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    version = find_active(context, SOLUTION_VERSION, params["solutionVersionArn"])
    recipe = get_recipe(version.body["recipeArn"])
    if not recipe.segments:
        raise invalid_input(f"Batch segment jobs are not supported by the recipe {recipe.name}.")
    check_filter(context, params.get("filterArn"), version)
    check_paths(params)
    body = {
        **{key: params.get(key) for key in ("jobName", "filterArn", "jobInput", "jobOutput", "roleArn")},
        "solutionVersionArn": version.arn,
        "numResults": number_of_results(params, _MOST_USERS_PER_SEGMENT),
    }
    context.check_quota(BATCH_SEGMENT_JOB)
    return create(context, BATCH_SEGMENT_JOB, arn, body, parent=version, params=params)


OPERATIONS = {"CreateBatchSegmentJob": create_batch_segment_job, **operations_of(BATCH_SEGMENT_JOB)}
