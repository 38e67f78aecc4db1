"""Name the files of a dataset, for a worker process to read."""

from __future__ import annotations

from dataclasses import dataclass

from personalize_local.datasets.avro import DatasetSchema, parse_schema


@dataclass(frozen=True)
class DatasetParts:
    """Name the files of one dataset, with its schema's text."""

    parts: tuple[str, ...]
    schema_text: str

    @property
    def schema(self) -> DatasetSchema:
        """Return the columns of the dataset."""
        return parse_schema(self.schema_text)
