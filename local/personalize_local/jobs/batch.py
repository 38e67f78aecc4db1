"""Run batch inference: JSON lines from S3 in, one `.out` object per input object out."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from personalize_local import engine
from personalize_local.datasets.streamed import StreamedHistories
from personalize_local.errors import JobFailed
from personalize_local.jobs.batch_filter import FilterRequest
from personalize_local.jobs.batch_lines import BatchLines, Inference
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.streamed_histories import streamed_histories
from personalize_local.jobs.theme_request import ThemeRequest
from personalize_local.jobs.workers import Task
from personalize_local.meter import BATCH_RECOMMENDATIONS
from personalize_local.recipes import get_recipe
from personalize_local.resources import Resource
from personalize_local.s3 import Location, S3Client, connect, failing_with, keys_under, read_object
from personalize_local.store import Store

_INVALID_INPUT = "Invalid S3 input path"
_INVALID_OUTPUT = "Invalid S3 output path"
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_INPUT_FILES = 1000
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
        config = resource.body.get("batchInferenceJobConfig") or {}
        return Task(
            infer,
            {
                "recipe": recipe.name,
                "model_folder": version.internal["model"],
                "region": resource.region,
                "source": resource.body["jobInput"]["s3DataSource"]["path"],
                "destination": resource.body["jobOutput"]["s3DataDestination"]["path"],
                "num_results": resource.body["numResults"],
                "filter_request": filter_request(around.store, resource),
                "exploration": _exploration(config) if recipe.exploration else None,
                "influence": config.get("rankingInfluence") or {},
                "theme_request": _theme_request(around.store, version, resource),
                "scratch": str(around.storage.scratch),
                "seed": resource.arn,
                "line_faults": around.line_faults,
                "histories": streamed_histories(around, version),
            },
        )

    def finish(self, around: Surroundings, _resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Bill it."""
        around.store.meter(BATCH_RECOMMENDATIONS, result["lines"])


def infer(
    *,
    recipe: str,
    model_folder: str,
    region: str,
    source: str,
    destination: str,
    num_results: int,
    filter_request: FilterRequest | None,
    scratch: str,
    seed: str,
    exploration: tuple[float, float] | None = None,
    influence: dict[str, float] | None = None,
    theme_request: ThemeRequest | None = None,
    histories: StreamedHistories | None = None,
    line_faults: float = 0.0,
) -> dict[str, int]:
    """Write `<input file name>.out` for each input object, and an empty `_CHECK`; raise `JobFailed`.

    :returns: how many `lines` were answered, and how many `ids` are in the answers.
    """
    client = connect(region)
    output = Location.parse(destination)
    inputs = _input_keys(client, Location.parse(source))
    with failing_with(_INVALID_OUTPUT):
        # What the real service's _CHECK is for is not documented; a failing write shows itself here early.
        client.put_object(Bucket=output.bucket, Key=f"{output.key}_CHECK", Body=b"")
    options = engine.Options(engine.Exploration(*exploration) if exploration else None, influence or {})
    recommender = engine.load(recipe, Path(model_folder))
    known = histories.read() if histories else None
    if known is not None and known.num_rows:
        recommender = recommender.with_histories(known)
    themes = theme_request.read() if theme_request else None
    lines = BatchLines(
        Inference(recommender, num_results, options, filter_request, themes), seed, line_faults
    )
    for bucket, key in inputs:
        with failing_with(_INVALID_INPUT):
            content = read_object(client, bucket, key)
        name = key.rsplit("/", 1)[-1]
        path = Path(scratch) / f"{uuid.uuid4().hex}.out"
        try:
            lines.write(content, path)
            with failing_with(_INVALID_OUTPUT):
                client.upload_file(str(path), output.bucket, f"{output.key}{name}.out")
        finally:
            path.unlink(missing_ok=True)
    if lines.is_all_unreadable:
        raise JobFailed("The input has no line that is a JSON object.")
    return {"lines": lines.answered_lines, "ids": lines.recommended_ids}


def _input_keys(client: S3Client, location: Location) -> list[tuple[str, str]]:
    with failing_with(_INVALID_INPUT):
        # A prefix match, as in the service: s3://b/folder also takes folder_test/.
        keys = keys_under(client, location, first_level_only=False)
    if not keys:
        raise JobFailed(_INVALID_INPUT)
    if len(keys) > _MOST_INPUT_FILES:
        raise JobFailed(f"{_INVALID_INPUT}: there can be at most {_MOST_INPUT_FILES} input files.")
    names = [key.rsplit("/", 1)[-1] for key in keys]
    if len(set(names)) < len(names):
        raise JobFailed(f"{_INVALID_INPUT}: two input files with the same name would share one output.")
    return [(location.bucket, key) for key in keys]


def filter_request(store: Store, resource: Resource) -> FilterRequest | None:
    """Return the filter of a job with the datasets as they are now; raise `JobFailed` when it is gone."""
    arn = resource.body.get("filterArn")
    if arn is None:
        return None
    found = store.get(arn)
    if found is None:
        raise JobFailed(f"The filter {arn} does not exist any more.")
    return FilterRequest(found.body["filterExpression"], dataset_parts(store, found.body["datasetGroupArn"]))


def _theme_request(store: Store, version: Resource, resource: Resource) -> ThemeRequest | None:
    if resource.body.get("batchInferenceJobMode") != "THEME_GENERATION":
        return None
    column = resource.body["themeGenerationConfig"]["fieldsForThemeGeneration"]["itemName"]
    return ThemeRequest(dataset_parts(store, version.body["datasetGroupArn"])["ITEMS"], column)


def _exploration(job_config: dict[str, Any]) -> tuple[float, float]:
    config = job_config.get("itemExplorationConfig") or {}
    return (
        float(config.get("explorationWeight", _DEFAULT_EXPLORATION_WEIGHT)),
        float(config.get("explorationItemAgeCutOff", _DEFAULT_ITEM_AGE_CUT_OFF_DAYS)),
    )
