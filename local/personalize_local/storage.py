"""Lay out the data folder: who owns it, where files go, and which of them nobody refers to any more.

A file counts as written only when the store refers to it. Each try of a job writes under a fresh name,
so a job that was killed half way leaves an unreferenced file, never a half-written referenced one.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from pathlib import Path

from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CREATE_IN_PROGRESS,
    CREATE_STOPPING,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
    IN_PROGRESS,
    SOLUTION_VERSION,
)
from personalize_local.store import Store

# The states in which a worker may be writing or reading files that the store does not refer to.
_BUSY = (CREATE_IN_PROGRESS, CREATE_STOPPING, IN_PROGRESS)
_BUSY_KINDS = (
    DATASET_IMPORT_JOB,
    DATASET_EXPORT_JOB,
    DATA_DELETION_JOB,
    DATASET_UPDATE,
    SOLUTION_VERSION,
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
)
# The members of a dataset's `internal` that name its files: bulk rows and streamed rows.
_PARTS = ("parts", "put_parts")
# The member of a job's `internal` that says that it only waits to be done, and uses no file any more.
SETTLING = "settling"


class FolderInUse(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says the state of affairs, as FileExistsError does
    """Tell that another server owns the data folder."""


class Storage:
    """Own a data folder: `state.sqlite`, `datasets/*.parquet`, `models/<id>/`, `scratch/`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        for folder in (self.datasets, self.models, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        # Left open on purpose: the lock lives as long as the process, also through kill -9.
        self._lock_file = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUse(f"another personalize_local uses {self.root}") from error

    def close(self) -> None:
        """Give the folder free for another server."""
        self._lock_file.close()

    @property
    def database(self) -> Path:
        """Return the file of the store."""
        return self.root / "state.sqlite"

    @property
    def datasets(self) -> Path:
        """Return the folder of the imported rows."""
        return self.root / "datasets"

    @property
    def models(self) -> Path:
        """Return the folder of the trained models."""
        return self.root / "models"

    @property
    def scratch(self) -> Path:
        """Return the folder of files that no restart needs."""
        return self.root / "scratch"

    def new_dataset_file(self) -> str:
        """Return a path for imported rows that no job has used."""
        return str(self.datasets / f"{uuid.uuid4().hex}.parquet")

    def new_model_folder(self) -> str:
        """Return a path for a trained model that no job has used."""
        return str(self.models / uuid.uuid4().hex)

    def clear_scratch(self) -> None:
        """Remove what a former process left in the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()

    def collect_garbage(self, store: Store, *, starting: bool = False) -> bool:
        """Remove files the store does not refer to, unless a job may still be using such files: then False.

        At start no job runs yet, whatever the states say.
        """
        with store.transaction():
            if not starting and _is_busy(store):
                return False
            datasets = store.select(DATASET.noun)
            kept = {part for r in datasets for member in _PARTS for part in r.internal.get(member, [])}
            kept |= {str(r.internal.get("model")) for r in store.select(SOLUTION_VERSION.noun)}
            for path in [*self.datasets.iterdir(), *self.models.iterdir()]:
                if str(path) not in kept:
                    _remove(path)
            for path in self.scratch.glob("*.out"):
                _remove(path)
        return True


def _is_busy(store: Store) -> bool:
    running = (job for kind in _BUSY_KINDS for job in store.select(kind.noun, statuses=_BUSY))
    return any(not job.internal.get(SETTLING) for job in running)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
