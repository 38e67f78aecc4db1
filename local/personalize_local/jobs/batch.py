"""Run batch inference and batch segments: JSON lines from S3 in, one `.out` object per input object out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personalize_local import engine
from personalize_local.datasets.parquet import DatasetParts, read_parts
from personalize_local.datasets.training_data import StreamedHistories, TrainedEvents
from personalize_local.errors import JobFailed
from personalize_local.jobs.batch_filter import FilterRequest
from personalize_local.jobs.batch_lines import BatchLines, Inference
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.new_items import NewItems, new_items
from personalize_local.jobs.workers import Task
from personalize_local.meter import BATCH_RECOMMENDATIONS, BATCH_SEGMENT_USERS
from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, DATASET, Resource, now_seconds
from personalize_local.s3 import Location, S3Client, connect, failing_with, keys_under, read_object
from personalize_local.store import Store

if TYPE_CHECKING:
    from personalize_local.jobs.themes import ThemeMaker

_INVALID_INPUT = "Invalid S3 input path"
_INVALID_OUTPUT = "Invalid S3 output path"
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_INPUT_FILES = 1000
# Exploration defaults: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
_DEFAULT_EXPLORATION_WEIGHT = "0.3"
_DEFAULT_ITEM_AGE_CUT_OFF_DAYS = "30"
_LOOK_AT_EVENTS = frozenset({"USER_PERSONALIZATION", "PERSONALIZED_RANKING"})


class BatchInferenceJob(Job):
    """Recommend to all users of the input with one solution version."""

    heavy = True

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Read the model and the input, write the output."""
        version = context.store.get(resource.body["solutionVersionArn"])
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
                "filter_request": filter_request(context.store, resource),
                "exploration": _exploration(config) if recipe.exploration else None,
                "influence": config.get("rankingInfluence") or {},
                "theme_request": _theme_request(context.store, version, resource),
                "scratch": str(context.storage.scratch),
                "seed": resource.arn,
                "line_faults": context.line_faults,
                "histories": streamed_histories(context, version),
                "items": new_items(context.store, version),
            },
        )

    def finish(self, context: JobContext, _resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Bill it."""
        context.store.meter(BATCH_RECOMMENDATIONS, result["lines"])


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
    items: NewItems | None = None,
    line_faults: float = 0.0,
) -> dict[str, int]:
    """Write `<input file name>.out` for each input object, and an empty `_CHECK`; raise `JobFailed`.

    :returns: the number of answered `lines`, and of `ids` in the answers.
    """
    client = connect(region)
    output = Location.parse(destination)
    inputs = _input_keys(client, Location.parse(source))
    with failing_with(_INVALID_OUTPUT):
        # The purpose of the service's _CHECK is not documented; here it reveals write errors early.
        client.put_object(Bucket=output.bucket, Key=f"{output.key}_CHECK", Body=b"")
    options = engine.Options(engine.Exploration(*exploration) if exploration else None, influence or {})
    recommender = engine.load(recipe, Path(model_folder))
    if items is not None:
        recommender = items.add_to(recommender)
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
    """Return the filter of a job with the current datasets; raise `JobFailed` when it was deleted."""
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


class BatchSegmentJob(Job):
    """Find the users for every line of the input with one solution version.

    Output lines: `{"input":{"itemId":"105"},"output":{"recommendedUsers":["106"]}}`.
    https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
    """

    heavy = True

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Read the model and the input, write the output."""
        version = context.store.get(resource.body["solutionVersionArn"])
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
                "filter_request": filter_request(context.store, resource),
                "scratch": str(context.storage.scratch),
                "seed": resource.arn,
                "line_faults": context.line_faults,
            },
        )

    def finish(self, context: JobContext, _resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Bill it."""
        context.store.meter(BATCH_SEGMENT_USERS, result["ids"])


def streamed_histories(context: JobContext, version: Resource) -> StreamedHistories | None:
    """Return the histories streamed since the training; None without any, or if the recipe ignores them.

    Batch jobs only use events that were recorded 15 minutes before the job:
    https://docs.aws.amazon.com/personalize/latest/dg/getting-batch-recommendations.html
    """
    if get_recipe(version.body["recipeArn"]).recipe_type not in _LOOK_AT_EVENTS:
        return None
    group_arn = version.body["datasetGroupArn"]
    parts = dataset_parts(context.store, group_arn).get("INTERACTIONS")
    datasets = context.store.select(DATASET.noun, parent_arn=group_arn, statuses=[ACTIVE])
    streamed = [
        part
        for dataset in datasets
        if dataset.body["datasetType"] == "INTERACTIONS"
        for part in dataset.internal.get("put_parts", [])
        # The version was trained on files that are older than itself.
        if Path(part).stat().st_mtime > version.body["creationDateTime"]
    ]
    if parts is None or not streamed:
        return None
    until = now_seconds() - context.event_age_seconds
    return StreamedHistories(parts, tuple(streamed), TrainedEvents.of_version(version.body), until)


@dataclass(frozen=True)
class ThemeRequest:
    """The Items dataset and its column with the names of the items."""

    items: DatasetParts
    name_column: str

    def read(self) -> ThemeMaker:
        """Read the items; scikit-learn is loaded here, as it takes seconds and few jobs have themes."""
        themes = import_module("personalize_local.jobs.themes")
        maker: ThemeMaker = themes.ThemeMaker(read_parts(self.items.parts, "ITEMS"), self.name_column)
        return maker
