"""The Avro schema of a Personalize dataset: which columns an export must write, in which order and type.

https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recsync.program import DatasetType
from recsync.program.avro_rules import (
    MAX_SCHEMA_CHARACTERS,
    RULES,
    AvroField,
    read_fields,
    record_problems,
    schema_problems,
)

__all__ = ["AvroField", "AvroSchema"]


@dataclass(frozen=True)
class AvroSchema:
    """A checked schema; ``fields`` in the order in which the CSV must have its columns.

    :param metadata: the fields that are neither required nor reserved.
    """

    text: str
    fields: tuple[AvroField, ...]
    metadata: tuple[AvroField, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in schema order."""
        return tuple(field.name for field in self.fields)

    @classmethod
    def parse(cls, text: str, dataset_type: DatasetType) -> AvroSchema:
        """Check the text of a schema file.

        :raises ValueError: everything that is wrong, and what is allowed, joined by "; ".
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not valid JSON: line {error.lineno}: {error.msg}") from None
        if not isinstance(document, dict) or document.get("type") != "record":
            raise ValueError("an Avro schema of Personalize is an object with type: record")
        compact = json.dumps(document)
        raw_fields = document.get("fields")
        fields, field_problems = read_fields(raw_fields if isinstance(raw_fields, list) else [])
        problems = [*_size_problems(compact), *record_problems(document, dataset_type), *field_problems]
        problems += _together(fields, raw_fields, dataset_type)
        if problems:
            raise ValueError("; ".join(problems))
        fixed = RULES[dataset_type].fixed
        return cls(compact, tuple(fields), tuple(field for field in fields if field.name not in fixed))


def _size_problems(compact: str) -> Iterator[str]:
    if len(compact) > MAX_SCHEMA_CHARACTERS:
        yield f"{len(compact):,} characters, at most {MAX_SCHEMA_CHARACTERS:,} are allowed"


def _together(fields: list[AvroField], raw_fields: Any, dataset_type: DatasetType) -> Iterator[str]:
    # Without a single field there is nothing to take together.
    if isinstance(raw_fields, list) and raw_fields:
        yield from schema_problems(fields, raw_fields, dataset_type)
