"""The files that the lists of a run are published in: one, or several of many people, in the order of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.storage.keys import Keys

LISTS, LEFT_OUT = "lists", "left_out"
# Statistics of nested texts cost a third of the writing, and no reader uses them.
_NESTED = [f"{name}.list.element" for name in ("items", "put_by", "rules")]
_DICTIONARY = [*_NESTED, "tier", "reason", "segment", "unanswered", "arm"]


def file_of(path: Path, number: int, files: int) -> Path:
    """Return where one of several files is written: the only one at the path itself."""
    return path if files == 1 else path.with_name(f"{path.stem}-{number:03d}{path.suffix}")


def part_keys(keys: Keys, run: str, what: str, files: int) -> list[str]:
    """Return the objects of a run's lists, or of what the rules left out (``LISTS``, ``LEFT_OUT``)."""
    folder, path = keys.recommendations(run), Path(f"{what}.parquet")
    return [f"{folder}{file_of(path, number, files)}" for number in range(files)]


def published_keys(keys: Keys, run: str, what: str, manifest: Mapping[str, Any] | None) -> list[str]:
    """Return these objects of a published run.

    :param manifest: the document of the run; those of earlier releases have one file.
    """
    return part_keys(keys, run, what, int((manifest or {}).get("files", 1)))


def list_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file of lists, or of what the rules left out, for writing."""
    # Without Arrow's own schema, readers see plain texts where dictionaries were written.
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=_DICTIONARY,
        write_statistics=["external_id"],
        store_schema=False,
    )


def join_files(files: Sequence[Path], target: Path) -> None:
    """Write the rows of several files of lists to one, in their order, and remove the files."""
    if list(files) == [target]:
        return
    with ExitStack() as opened:
        writer: pq.ParquetWriter | None = None
        for path in files:
            # Reading texts as dictionaries, as they were written, halves the time.
            schema = pq.read_metadata(path).schema
            columns = [schema.column(number) for number in range(len(schema))]
            texts = [
                each.path
                for each in columns
                if each.path in _DICTIONARY and each.physical_type == "BYTE_ARRAY"
            ]
            with pq.ParquetFile(path, read_dictionary=texts) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group)
                    writer = writer or opened.enter_context(list_writer(target, rows.schema))
                    writer.write_table(rows)
                if writer:
                    writer.add_key_value_metadata(file.metadata.metadata or {})
            path.unlink()
