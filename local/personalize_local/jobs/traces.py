"""Remove what is left of deleted users outside the datasets: in models, the streaming log and scratch files."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.answers import USERS_FILE
from personalize_local.resources import DATASET, SOLUTION_VERSION
from personalize_local.storage import Storage
from personalize_local.store import Store

_COLUMN = "user_ids"


def forget_in_models(store: Store, storage: Storage, group_arn: str, user_ids: pa.Array) -> None:
    """Take the users' names out of every model of a dataset group; what was learnt from them stays.

    Users are known to a model by their place in one file; a nameless place is nobody's, so that the users are
    new to the model and in no segment.
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
    # Whoever reads the model meanwhile sees the former file or the new one, whole.
    new.replace(path)


def dataset_sequences(store: Store, group_arn: str) -> list[int]:
    """Return the numbers by which the streaming log knows the datasets of a group."""
    return [dataset.sequence for dataset in store.select(DATASET.noun, parent_arn=group_arn)]
