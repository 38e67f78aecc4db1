"""Find the current files and schemas of datasets, and earlier jobs on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from personalize_local.datasets.parquet import DatasetParts
from personalize_local.errors import JobFailed
from personalize_local.resources import ACTIVE, DATASET, DATASET_IMPORT_JOB, UNFINISHED, Kind, Resource
from personalize_local.storage import PART_MEMBERS
from personalize_local.store import Store


def dataset_parts(store: Store, dataset_group_arn: str) -> dict[str, DatasetParts]:
    """Return the ACTIVE datasets of a group by type, with bulk and streamed files, even if empty."""
    found = {}
    for dataset in store.select(DATASET.noun, parent_arn=dataset_group_arn, statuses=[ACTIVE]):
        schema = store.get(dataset.body["schemaArn"])
        if schema is not None:
            found[dataset.body["datasetType"]] = DatasetParts(
                tuple(all_parts(dataset)), schema.body["schema"]
            )
    return found


def all_parts(dataset: Resource) -> list[str]:
    """Return the files of bulk and streamed rows, oldest first: the last row of an id wins."""
    parts = [part for member in PART_MEMBERS for part in dataset.internal.get(member, [])]
    return sorted(parts, key=lambda part: Path(part).stat().st_mtime_ns)


def replace_parts(dataset: Resource, replaced: Mapping[str, str], rewrite: Callable[[str], str]) -> None:
    """Replace a dataset's files by rewritten ones.

    :param replaced: the new file for each file that a worker has rewritten.
    :param rewrite: rewrites a file that was streamed after the worker began.
    """
    for member in PART_MEMBERS:
        if member in dataset.internal:
            parts = dataset.internal[member]
            dataset.internal[member] = [replaced.get(part) or rewrite(part) for part in parts]


def dataset_of(store: Store, resource: Resource) -> Resource:
    """Return the dataset of an import, export or update; raise `JobFailed` when it was deleted."""
    dataset = store.get(str(resource.parent_arn))
    if dataset is None:
        raise JobFailed(f"The dataset {resource.parent_arn} does not exist any more.")
    return dataset


def schema_text_of(store: Store, schema_arn: str) -> str:
    """Return the text of a schema; raise `JobFailed` when it was deleted."""
    schema = store.get(schema_arn)
    if schema is None:
        raise JobFailed(f"The schema {schema_arn} does not exist any more.")
    return str(schema.body["schema"])


def has_earlier(store: Store, resource: Resource, kind: Kind, parent_arn: str | None) -> bool:
    """Return whether an unfinished resource of this kind was created before `resource`."""
    unfinished = store.select(kind.noun, parent_arn=parent_arn, statuses=UNFINISHED)
    return any(other.sequence < resource.sequence for other in unfinished)


def is_being_imported(store: Store, dataset: Resource, before: Resource) -> bool:
    """Return whether an unfinished import into this dataset was created before `before`."""
    return has_earlier(store, before, DATASET_IMPORT_JOB, dataset.arn)
