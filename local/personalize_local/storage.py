"""Manage the data folder: lock, paths, and garbage collection.

A file is valid only once the store refers to it. Each try of a job writes to a new name, so a killed job leaves an
unreferenced file, never a partial referenced one.
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
    RECOMMENDER,
    RECOMMENDER_UPDATE,
    SOLUTION_VERSION,
)
from personalize_local.store import Store

# States in which a worker may use files that the store does not refer to.
_BUSY = (CREATE_IN_PROGRESS, CREATE_STOPPING, IN_PROGRESS)
_BUSY_KINDS = (
    DATASET_IMPORT_JOB,
    DATASET_EXPORT_JOB,
    DATA_DELETION_JOB,
    DATASET_UPDATE,
    SOLUTION_VERSION,
    RECOMMENDER,
    RECOMMENDER_UPDATE,
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
)
# The members of a dataset's `internal` that name its files: bulk rows and streamed rows.
PART_MEMBERS = ("parts", "put_parts")
# Member of a job's `internal`: the job only waits for `settle`, and uses no files.
SETTLING = "settling"


class FolderInUse(Exception):  # ruff: ignore[error-suffix-on-exception-name] - named like FileExistsError
    """Another server uses the data folder."""


class Storage:
    """A locked data folder: `state.sqlite`, `datasets/*.parquet`, `models/<id>/`, `scratch/`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        for folder in (self.datasets, self.models, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        # Stays open: the kernel releases the lock when the process ends, even by kill -9.
        self._lock_file = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUse(f"another personalize_local uses {self.root}") from error

    def close(self) -> None:
        """Release the lock."""
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
        """Return the folder of temporary files, cleared at start."""
        return self.root / "scratch"

    def new_dataset_file(self) -> str:
        """Return an unused path for imported rows."""
        return str(self.datasets / f"{uuid.uuid4().hex}.parquet")

    def new_model_folder(self) -> str:
        """Return an unused path for a trained model."""
        return str(self.models / uuid.uuid4().hex)

    def clear_scratch(self) -> None:
        """Empty the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()

    def collect_garbage(self, store: Store, *, starting: bool = False) -> bool:
        """Remove unreferenced files; return False if a running job may use some.

        At start no job runs yet, whatever its state.
        """
        with store.transaction():
            if not starting and _is_busy(store):
                return False
            datasets = store.select(DATASET.noun)
            kept = {part for r in datasets for member in PART_MEMBERS for part in r.internal.get(member, [])}
            trained = [r for kind in (SOLUTION_VERSION, RECOMMENDER) for r in store.select(kind.noun)]
            kept |= {str(r.internal.get("model")) for r in trained}
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
