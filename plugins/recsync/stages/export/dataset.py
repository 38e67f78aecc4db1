"""Export: rows of the warehouse become one checked CSV object per dataset."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from recsync import settings
from recsync.core.csv_checks import CsvFigures, check_csv, check_minimums
from recsync.core.intervals import Interval
from recsync.core.program import DatasetType, Program
from recsync.errors import FatalError
from recsync.hooks.warehouse import WarehouseHook
from recsync.stages.queries import read_query
from recsync.stores.bucket import Bucket
from recsync.stores.exports import ExportedObject

log = logging.getLogger(__name__)


def export_dataset(
    program: Program, bucket: Bucket, dataset_type: DatasetType, interval: Interval, key: str
) -> ExportedObject:
    """Copy the rows of one dataset and interval to ``key``, after checking every row.

    The rows go through a temporary file, so an object is written whole or not at all.
    """
    name, query = read_query(program, dataset_type.folder, interval)
    schema = settings.schema(program, dataset_type)
    full = interval == Interval.until(interval.end)
    with TemporaryDirectory(prefix="recsync-") as folder:
        path = Path(folder) / "rows.csv"
        WarehouseHook(program.warehouse).copy_csv(query, schema.columns, path, name=name)
        figures = check_csv(path, schema, dataset_type, interval, name=name)
        if full:
            _check_full(figures, dataset_type, name)
        bucket.upload(key, path)
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    log.info("Exported %d rows (%d bytes) of %s to %s", figures.rows, size_bytes, name, bucket.uri(key))
    return ExportedObject(key, figures.rows, size_bytes, digest, etag=bucket.etag(key) or "")


def _check_full(figures: CsvFigures, dataset_type: DatasetType, name: str) -> None:
    if dataset_type is DatasetType.INTERACTIONS:
        check_minimums(figures, name=name)
    elif figures.rows == 0:
        raise FatalError(
            f"{name} returned no row; leave {dataset_type.folder} out of the program or mend the query."
        )
