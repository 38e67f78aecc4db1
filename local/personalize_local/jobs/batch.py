"""Run batch inference: JSON lines from S3 in, one `.out` object per input object out."""

from __future__ import annotations

import uuid
from pathlib import Path

from personalize_local import engine
from personalize_local.errors import JobFailed
from personalize_local.jobs.batch_filter import FilterRequest
from personalize_local.jobs.batch_lines import BatchLines, Inference
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.workers import Task
from personalize_local.recipes import get_recipe
from personalize_local.resources import Resource
from personalize_local.s3 import Location, S3Client, connect, failing_with, keys_under, read_object
from personalize_local.store import Store

_INVALID_INPUT = "Invalid S3 input path"
_INVALID_OUTPUT = "Invalid S3 output path"
# Exploration defaults: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
_DEFAULT_EXPLORATION_WEIGHT = "0.3"
_DEFAULT_ITEM_AGE_CUT_OFF_DAYS = "30"


class BatchInferenceJob(Job):
    """Recommend to every user of the input with one solution version."""

    heavy = True

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Read the model and the input, write the output."""
        version = around.store.get(resource.body["solutionVersionArn"])
        if version is None:
            raise JobFailed(f"The solution version {resource.body['solutionVersionArn']} does not exist.")
        recipe = get_recipe(version.body["recipeArn"])
        config = (resource.body.get("batchInferenceJobConfig") or {}).get("itemExplorationConfig") or {}
        return Task(
            infer,
            {
                "recipe": recipe.name,
                "model_folder": version.internal["model"],
                "region": resource.region,
                "source": resource.body["jobInput"]["s3DataSource"]["path"],
                "destination": resource.body["jobOutput"]["s3DataDestination"]["path"],
                "num_results": resource.body["numResults"],
                "filter_request": _filter_request(around.store, resource),
                "exploration": _exploration(config) if recipe.exploration else None,
                "scratch": str(around.storage.scratch),
                "seed": resource.arn,
            },
        )


def infer(
    *,
    recipe: str,
    model_folder: str,
    region: str,
    source: str,
    destination: str,
    num_results: int,
    exploration: tuple[float, float] | None,
    filter_request: FilterRequest | None,
    scratch: str,
    seed: str,
) -> None:
    """Write `<input file name>.out` for each input object, and an empty `_CHECK`; raise `JobFailed`."""
    client = connect(region)
    output = Location.parse(destination)
    inputs = _input_keys(client, Location.parse(source))
    with failing_with(_INVALID_OUTPUT):
        # What the real service's _CHECK is for is not documented; a failing write shows itself here early.
        client.put_object(Bucket=output.bucket, Key=f"{output.key}_CHECK", Body=b"")
    explore = engine.Exploration(*exploration) if exploration else None
    recommender = engine.load(recipe, Path(model_folder))
    lines = BatchLines(Inference(recommender, num_results, explore, filter_request), seed)
    for bucket, key in inputs:
        with failing_with(_INVALID_INPUT):
            content = read_object(client, bucket, key)
        name = key.rsplit("/", 1)[-1]
        path = Path(scratch) / f"{uuid.uuid4().hex}.out"
        lines.write(content, path)
        with failing_with(_INVALID_OUTPUT):
            client.upload_file(str(path), output.bucket, f"{output.key}{name}.out")
        path.unlink()
    if lines.is_all_unreadable:
        raise JobFailed("The input has no line that is a JSON object.")


def _input_keys(client: S3Client, location: Location) -> list[tuple[str, str]]:
    with failing_with(_INVALID_INPUT):
        # A prefix match, as in the service: s3://b/folder also takes folder_test/.
        keys = keys_under(client, location, first_level_only=False)
    if not keys:
        raise JobFailed(_INVALID_INPUT)
    names = [key.rsplit("/", 1)[-1] for key in keys]
    if len(set(names)) < len(names):
        raise JobFailed(f"{_INVALID_INPUT}: two input files with the same name would share one output.")
    return [(location.bucket, key) for key in keys]


def _filter_request(store: Store, resource: Resource) -> FilterRequest | None:
    arn = resource.body.get("filterArn")
    if arn is None:
        return None
    found = store.get(arn)
    if found is None:
        raise JobFailed(f"The filter {arn} does not exist any more.")
    return FilterRequest(found.body["filterExpression"], dataset_parts(store, found.body["datasetGroupArn"]))


def _exploration(config: dict[str, str]) -> tuple[float, float]:
    return (
        float(config.get("explorationWeight", _DEFAULT_EXPLORATION_WEIGHT)),
        float(config.get("explorationItemAgeCutOff", _DEFAULT_ITEM_AGE_CUT_OFF_DAYS)),
    )
