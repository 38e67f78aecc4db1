"""What a program says about events that the schema of its interactions cannot meet."""

from __future__ import annotations

from collections.abc import Iterator

from recsync.program.avro import AvroSchema
from recsync.program.data import MAX_TYPES_AND_METADATA, Events
from recsync.program.problem import Problem

_VALUE = "EVENT_VALUE"


def event_problems(events: Events, schema: AvroSchema) -> Iterator[Problem]:
    """Yield what in ``events`` cannot be met with the schema of the interactions."""
    if events.weights and _VALUE not in schema.columns:
        yield Problem(
            ("events", "types"),
            f"gives values to {', '.join(events.weights)}, but the schema has no {_VALUE}; add the field "
            f'{{"name": "{_VALUE}", "type": ["null", "float"]}} or leave the values empty',
        )
    taken = len(schema.metadata)
    if taken + len(events.types) > MAX_TYPES_AND_METADATA:
        yield Problem(
            ("events", "types"),
            f"names {len(events.types)} types and the schema has {taken} metadata fields; "
            f"Amazon Personalize takes at most {MAX_TYPES_AND_METADATA} of both together",
        )
