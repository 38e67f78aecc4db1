"""Run batch segments: users for the items or item attributes of JSON lines from S3."""

from __future__ import annotations

from typing import Any

from personalize_local.errors import JobFailed
from personalize_local.jobs.batch import filter_request, infer
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.workers import Task
from personalize_local.meter import BATCH_SEGMENT_USERS
from personalize_local.recipes import get_recipe
from personalize_local.resources import Resource


class BatchSegmentJob(Job):
    """Find the users for every line of the input with one solution version.

    Output lines: `{"input":{"itemId":"105"},"output":{"recommendedUsers":["106"]}}`.
    https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
    """

    heavy = True

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Read the model and the input, write the output."""
        version = around.store.get(resource.body["solutionVersionArn"])
        if version is None:
            raise JobFailed(f"The solution version {resource.body['solutionVersionArn']} does not exist.")
        return Task(
            infer,
            {
                "recipe": get_recipe(version.body["recipeArn"]).name,
                "model_folder": version.internal["model"],
                "region": resource.region,
                "source": resource.body["jobInput"]["s3DataSource"]["path"],
                "destination": resource.body["jobOutput"]["s3DataDestination"]["path"],
                "num_results": resource.body["numResults"],
                "filter_request": filter_request(around.store, resource),
                "scratch": str(around.storage.scratch),
                "seed": resource.arn,
                "line_faults": around.line_faults,
            },
        )

    def finish(self, around: Surroundings, _resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Bill it."""
        around.store.meter(BATCH_SEGMENT_USERS, result["ids"])
