"""Carry out updates, which leave their resource ACTIVE and have states of their own.

An update is kept as a resource below the one it changes; its body is what `latest<noun>Update` shows.
"""

from __future__ import annotations

from typing import Any

from personalize_local.datasets.avro import parse_schema
from personalize_local.datasets.columns import rewrite_part, with_columns
from personalize_local.jobs.dataset_files import (
    all_parts,
    dataset_of,
    has_earlier,
    replace_parts,
    schema_text_of,
)
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.workers import Task
from personalize_local.resources import (
    DATA_DELETION_JOB,
    DATASET_UPDATE,
    SOLUTION,
    SOLUTION_UPDATE,
    SOLUTION_VERSION,
    Kind,
    Resource,
)
from personalize_local.store import Store


class DatasetUpdate(Job):
    """Give a dataset a schema with more columns; the rows it has get nulls in them."""

    heavy = True

    def must_wait(self, around: Surroundings, resource: Resource) -> bool:
        """Begin after the deletions that were asked for before: both rewrite the files."""
        dataset = around.store.get(str(resource.parent_arn))
        group_arn = dataset.parent_arn if dataset else None
        return has_earlier(around.store, resource, DATA_DELETION_JOB, group_arn)

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Rewrite the files that are there now."""
        dataset = dataset_of(around.store, resource)
        return Task(
            widen,
            {
                "schema_text": schema_text_of(around.store, resource.body["schemaArn"]),
                "parts": {part: around.storage.new_dataset_file() for part in all_parts(dataset)},
            },
        )

    def finish(self, around: Surroundings, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Make schema and files those of the dataset."""
        dataset = dataset_of(around.store, resource)
        schema_text = schema_text_of(around.store, resource.body["schemaArn"])

        def rewrite(part: str) -> str:
            path = around.storage.new_dataset_file()
            widen(schema_text, {part: path})
            return path

        replace_parts(dataset, result, rewrite)
        former = parse_schema(schema_text_of(around.store, dataset.body["schemaArn"])).names
        new_columns = [name for name in parse_schema(schema_text).names if name not in former]
        _leave_out(around.store, dataset, new_columns)
        dataset.body["schemaArn"] = resource.body["schemaArn"]
        dataset.body["lastUpdatedDateTime"] = resource.body["lastUpdatedDateTime"]
        around.store.save(dataset)


class SolutionUpdate(Job):
    """Change how a solution will be trained from now on."""

    def finish(self, around: Surroundings, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Copy what the update names into the solution."""
        solution = around.store.get(str(resource.parent_arn))
        if solution is None:
            return
        for member in ("performAutoTraining", "performIncrementalUpdate"):
            if resource.body.get(member) is not None:
                solution.body[member] = resource.body[member]
        solution.body["solutionConfig"].update(resource.body.get("solutionUpdateConfig") or {})
        solution.body["lastUpdatedDateTime"] = resource.body["lastUpdatedDateTime"]
        around.store.save(solution)


class Dataset(Job):
    """Make and unmake datasets."""

    def delete(self, around: Surroundings, resource: Resource) -> None:
        """Remove a dataset and its updates; the files become garbage."""
        delete_below(around.store, resource, DATASET_UPDATE)
        around.store.delete(resource.arn)


class Solution(Job):
    """Make and unmake solutions."""

    def delete(self, around: Surroundings, resource: Resource) -> None:
        """Remove a solution with its versions and updates; the models become garbage."""
        delete_below(around.store, resource, SOLUTION_VERSION, SOLUTION_UPDATE)
        around.store.delete(resource.arn)


def delete_below(store: Store, parent: Resource, *kinds: Kind) -> None:
    """Remove all resources of these kinds that belong to one resource."""
    for kind in kinds:
        for resource in store.select(kind.noun, parent_arn=parent.arn):
            store.delete(resource.arn)


def widen(schema_text: str, parts: dict[str, str]) -> dict[str, str]:
    """Write the rows of each file, in the columns of a schema, to the path beside it; return `parts`."""
    schema = parse_schema(schema_text)
    for part, path in parts.items():
        rewrite_part(part, path, lambda table: with_columns(table, schema))
    return parts


def _leave_out(store: Store, dataset: Resource, columns: list[str]) -> None:
    """Keep new columns out of the training of solutions that were made before there were such columns."""
    for solution in store.select(SOLUTION.noun, parent_arn=dataset.parent_arn):
        excluded = solution.internal.setdefault("excluded_columns", {})
        excluded.setdefault(dataset.body["datasetType"], []).extend(columns)
        store.save(solution)
