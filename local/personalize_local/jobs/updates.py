"""Run the updates of datasets, solutions and campaigns, and delete these resources.

An update is a child resource with separate states; its resource stays ACTIVE, and shows it as `latest<noun>Update`.
"""

from __future__ import annotations

from typing import Any

from personalize_local.datasets.avro import parse_schema
from personalize_local.datasets.parquet import rewrite_part, with_columns
from personalize_local.jobs.dataset_files import (
    all_parts,
    dataset_of,
    has_earlier,
    replace_parts,
    schema_text_of,
)
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.workers import Task
from personalize_local.meter import start_serving, stop_serving
from personalize_local.resources import (
    ACTIVE,
    CAMPAIGN_UPDATE,
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
    """Replace a dataset's schema by one with more columns, which are null in existing rows."""

    heavy = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier user deletions, which rewrite the same files."""
        dataset = context.store.get(str(resource.parent_arn))
        group_arn = dataset.parent_arn if dataset else None
        return has_earlier(context.store, resource, DATA_DELETION_JOB, group_arn)

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Rewrite the current files."""
        dataset = dataset_of(context.store, resource)
        return Task(
            widen,
            {
                "schema_text": schema_text_of(context.store, resource.body["schemaArn"]),
                "parts": {part: context.storage.new_dataset_file() for part in all_parts(dataset)},
            },
        )

    def finish(self, context: JobContext, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Set the dataset's schema and files."""
        dataset = dataset_of(context.store, resource)
        schema_text = schema_text_of(context.store, resource.body["schemaArn"])

        def rewrite(part: str) -> str:
            path = context.storage.new_dataset_file()
            widen(schema_text, {part: path})
            return path

        replace_parts(dataset, result, rewrite)
        former = parse_schema(schema_text_of(context.store, dataset.body["schemaArn"])).names
        new_columns = [name for name in parse_schema(schema_text).names if name not in former]
        _leave_out(context.store, dataset, new_columns)
        dataset.body["schemaArn"] = resource.body["schemaArn"]
        dataset.body["lastUpdatedDateTime"] = resource.body["lastUpdatedDateTime"]
        context.store.save(dataset)


class SolutionUpdate(Job):
    """Change the configuration of a solution's future trainings."""

    def finish(self, context: JobContext, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Copy the update into the solution."""
        solution = context.store.get(str(resource.parent_arn))
        if solution is None:
            return
        for member in ("performAutoTraining", "performIncrementalUpdate"):
            if resource.body.get(member) is not None:
                solution.body[member] = resource.body[member]
        solution.body["solutionConfig"].update(resource.body.get("solutionUpdateConfig") or {})
        solution.body["lastUpdatedDateTime"] = resource.body["lastUpdatedDateTime"]
        context.store.save(solution)


class Dataset(Job):
    """Create and delete datasets."""

    def delete(self, context: JobContext, resource: Resource) -> None:
        """Remove a dataset and its updates; the files become garbage."""
        delete_below(context.store, resource, DATASET_UPDATE)
        context.store.delete(resource.arn)


class Solution(Job):
    """Create and delete solutions."""

    def delete(self, context: JobContext, resource: Resource) -> None:
        """Remove a solution with its versions and updates; the models become garbage."""
        delete_below(context.store, resource, SOLUTION_VERSION, SOLUTION_UPDATE)
        context.store.delete(resource.arn)


def delete_below(store: Store, parent: Resource, *kinds: Kind) -> None:
    """Remove all resources of these kinds that belong to one resource."""
    for kind in kinds:
        for resource in store.select(kind.noun, parent_arn=parent.arn):
            store.delete(resource.arn)


def widen(schema_text: str, parts: dict[str, str]) -> dict[str, str]:
    """Rewrite each file with the columns of a schema; return `parts`, the new path of each file."""
    schema = parse_schema(schema_text)
    for part, path in parts.items():
        rewrite_part(part, path, lambda table: with_columns(table, schema))
    return parts


def _leave_out(store: Store, dataset: Resource, columns: list[str]) -> None:
    """Exclude new columns from the training of existing solutions."""
    for solution in store.select(SOLUTION.noun, parent_arn=dataset.parent_arn):
        excluded = solution.internal.setdefault("excluded_columns", {})
        excluded.setdefault(dataset.body["datasetType"], []).extend(columns)
        store.save(solution)


class Campaign(Job):
    """Create and delete campaigns."""

    def finish(self, _context: JobContext, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Start to bill the campaign."""
        start_serving(resource)

    def delete(self, context: JobContext, resource: Resource) -> None:
        """Remove a campaign with its updates."""
        stop_serving(context.store, resource)
        for update in context.store.select(CAMPAIGN_UPDATE.noun, parent_arn=resource.arn):
            context.store.delete(update.arn)
        context.store.delete(resource.arn)


class CampaignUpdate(Job):
    """Change the solution version, throughput or configuration of a campaign."""

    def finish(self, context: JobContext, resource: Resource, _result: Any, _wall_seconds: float) -> None:
        """Copy the update into the campaign; a failed campaign becomes ACTIVE."""
        campaign = context.store.get(str(resource.parent_arn))
        if campaign is None:
            return
        # Bill the time until now by the old throughput.
        stop_serving(context.store, campaign)
        start_serving(campaign)
        for member in ("solutionVersionArn", "minProvisionedTPS", "campaignConfig"):
            campaign.body[member] = resource.body[member]
        campaign.move_to(ACTIVE)
        context.store.save(campaign)
