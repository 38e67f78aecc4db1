"""Delete users from all datasets and models of a group."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.csv_rows import read_header, read_text_columns
from personalize_local.datasets.parquet import rewrite_part, without_users
from personalize_local.engine.precomputed import USERS_FILE
from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import all_parts, has_earlier, is_being_imported, replace_parts
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.workers import Task
from personalize_local.resources import (
    DATA_DELETION_JOB,
    DATASET,
    DATASET_UPDATE,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
)
from personalize_local.s3 import Location, S3Client, connect, failing_with, keys_under, read_object, sizes_of
from personalize_local.storage import SETTLING, Storage
from personalize_local.store import Store

_INVALID_LOCATION = "Invalid Data location."
# https://docs.aws.amazon.com/personalize/latest/dg/delete-records.html
_MOST_INPUT_BYTES = 100 * 1024 * 1024
# Dataset types with a USER_ID.
_WITH_USERS = frozenset({"INTERACTIONS", "USERS", "ACTION_INTERACTIONS"})
_COLUMN = "user_ids"


class DataDeletion(Job):
    """Rewrite the files without the users, and remove their ids from models and logs.

    Models trained before keep what they learned from the users, as in the service, but not their ids. COMPLETED means
    that no file of the data folder contains the ids.
    """

    heavy = True
    settles = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier imports, updates, trainings and deletions of the group."""
        if has_earlier(context.store, resource, DATA_DELETION_JOB, resource.parent_arn):
            return True
        if any(
            has_earlier(context.store, resource, SOLUTION_VERSION, solution.arn)
            for solution in context.store.select(SOLUTION.noun, parent_arn=resource.parent_arn)
        ):
            return True
        return any(
            is_being_imported(context.store, dataset, resource)
            or has_earlier(context.store, resource, DATASET_UPDATE, dataset.arn)
            for dataset in _datasets(context.store, resource)
        )

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Rewrite the current files."""
        resource.internal[SETTLING] = False
        context.store.save(resource)
        parts = [part for dataset in _datasets(context.store, resource) for part in all_parts(dataset)]
        return Task(
            delete_users,
            {
                "uri": resource.body["dataSource"]["dataLocation"],
                "region": resource.region,
                "parts": {part: context.storage.new_dataset_file() for part in parts},
                "ids_path": str(context.storage.scratch / f"{uuid.uuid4().hex}.parquet"),
            },
        )

    def finish(self, context: JobContext, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Replace the files of the datasets, and rewrite those that were streamed meanwhile."""
        # Add the deletions of an earlier try that was killed after this step.
        resource.body["numDeleted"] = resource.internal.get("deleted", 0) + result["deleted"]
        ids_path = Path(result["ids_path"])

        def rewrite(part: str) -> str:
            path = context.storage.new_dataset_file()
            resource.body["numDeleted"] += _rewrite(part, path, _read_ids(ids_path))
            return path

        for dataset in _datasets(context.store, resource):
            replace_parts(dataset, result["parts"], rewrite)
            context.store.save(dataset)
        resource.internal.update(
            {"deleted": resource.body["numDeleted"], "ids": str(ids_path), SETTLING: True}
        )

    def settle(self, context: JobContext, resource: Resource) -> bool:
        """Remove the old files once no job reads them, and the ids from models, logs and scratch files."""
        ids_path, group_arn = Path(resource.internal["ids"]), str(resource.parent_arn)
        user_ids = _read_ids(ids_path)
        forget_in_models(context.store, context.storage, group_arn, user_ids)
        if not context.storage.collect_garbage(context.store):
            return False
        context.forget_users(dataset_sequences(context.store, group_arn), user_ids.to_pylist())
        ids_path.unlink()
        return True


def delete_users(uri: str, region: str, parts: dict[str, str], ids_path: str) -> dict[str, Any]:
    """Write each file without the users named in the CSV objects under `uri`; raise `JobFailed`.

    :param parts: the path of the new file for each old one.
    :param ids_path: where to write the user ids, for rows that are streamed meanwhile.
    """
    client = connect(region)
    with failing_with(_INVALID_LOCATION):
        user_ids = _user_ids(client, Location.parse(uri))
    pq.write_table(pa.table({"USER_ID": user_ids}), ids_path)
    deleted = sum(_rewrite(part, path, user_ids) for part, path in parts.items())
    return {"parts": parts, "deleted": deleted, "ids_path": ids_path}


def _user_ids(client: S3Client, location: Location) -> pa.Array:
    keys = _keys(client, location)
    if sum(sizes_of(client, location.bucket, keys)) > _MOST_INPUT_BYTES:
        raise JobFailed("The input of a data deletion job can be at most 100 MB.")
    columns = [_users_in(read_object(client, location.bucket, key)) for key in keys]
    return pc.drop_null(pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks])))


def _keys(client: S3Client, location: Location) -> list[str]:
    if location.key.endswith(".csv"):
        return [location.key]
    folder = location.key if location.key.endswith("/") or not location.key else f"{location.key}/"
    found = keys_under(client, Location(location.bucket, folder), first_level_only=False)
    keys = [key for key in found if key.endswith(".csv")]
    if not keys:
        raise JobFailed(_INVALID_LOCATION)
    return keys


def _users_in(content: bytes) -> pa.ChunkedArray:
    if "USER_ID" not in read_header(content):
        raise JobFailed("Input CSV is missing the following columns:[USER_ID].")
    return read_text_columns(content, ["USER_ID"])["USER_ID"]


def _read_ids(path: Path) -> pa.Array:
    return pq.read_table(path)["USER_ID"].combine_chunks()


def _rewrite(part: str, path: str, user_ids: pa.Array) -> int:
    return rewrite_part(part, path, lambda table: without_users(table, user_ids))


def _datasets(store: Store, resource: Resource) -> list[Resource]:
    datasets = store.select(DATASET.noun, parent_arn=resource.parent_arn)
    return [dataset for dataset in datasets if dataset.body["datasetType"] in _WITH_USERS]


def forget_in_models(store: Store, storage: Storage, group_arn: str, user_ids: pa.Array) -> None:
    """Replace the users' ids by null in all models of a dataset group; the weights stay.

    A model finds users by their position in one file. Users with a null id are unknown to it, and in no segment.
    """
    for version in store.select(SOLUTION_VERSION.noun):
        folder = version.internal.get("model")
        if version.body["datasetGroupArn"] == group_arn and folder is not None:
            _forget_names(Path(folder) / USERS_FILE, storage, user_ids)


def _forget_names(path: Path, storage: Storage, user_ids: pa.Array) -> None:
    if not path.exists():
        return
    names = pq.read_table(path)[_COLUMN]
    gone = pc.is_in(names, value_set=user_ids)
    if not pc.any(gone).as_py():
        return
    new = storage.scratch / f"{uuid.uuid4().hex}.parquet"
    pq.write_table(pa.table({_COLUMN: pc.if_else(gone, pa.scalar(None, names.type), names)}), new)
    # Readers of the model see the old or the new file, never a partial one.
    new.replace(path)


def dataset_sequences(store: Store, group_arn: str) -> list[int]:
    """Return the numbers of a group's datasets in the streaming log."""
    return [dataset.sequence for dataset in store.select(DATASET.noun, parent_arn=group_arn)]
