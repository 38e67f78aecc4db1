"""Find what users who streamed events ever did, as a model of their group would be told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.columns import with_columns
from personalize_local.datasets.parquet import without_repeats
from personalize_local.datasets.parts import DatasetParts

_COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE")


@dataclass(frozen=True)
class TrainedEvents:
    """Say which events a solution version was trained on."""

    event_type: str | None = None
    event_value_threshold: float | None = None
    event_types: tuple[str, ...] = ()

    @classmethod
    def of_version(cls, body: dict[str, Any]) -> TrainedEvents:
        """Read it from the body of a solution version."""
        config = body.get("solutionConfig") or {}
        threshold = config.get("eventValueThreshold")
        listed = (config.get("eventsConfig") or {}).get("eventParametersList", [])
        return cls(
            body.get("eventType"),
            None if threshold is None else float(threshold),
            tuple(each["eventType"] for each in listed if "eventType" in each),
        )

    def kept(self, table: pa.Table) -> pa.Table:
        """Return the rows that such a training would have seen."""
        types = [self.event_type] if self.event_type else list(self.event_types)
        if types and "EVENT_TYPE" in table.column_names:
            table = table.filter(pc.is_in(table["EVENT_TYPE"], pa.array(types, pa.string())))
        if self.event_value_threshold is not None and "EVENT_VALUE" in table.column_names:
            table = table.filter(pc.greater_equal(table["EVENT_VALUE"], self.event_value_threshold))
        return table.select([name for name in _COLUMNS if name in table.column_names])


@dataclass(frozen=True)
class StreamedHistories:
    """Name what a batch job is told: rows of all users with streamed events that are old enough.

    :param interactions: all files of the dataset.
    :param streamed: those of them that hold rows streamed since the training.
    :param until_seconds: events after this moment, by their TIMESTAMP in epoch seconds, are not seen.
    """

    interactions: DatasetParts
    streamed: tuple[str, ...]
    events: TrainedEvents
    until_seconds: float

    def read(self) -> pa.Table | None:
        """Return all that these users did; None when there are no such users."""
        users = [self._users(part) for part in self.streamed]
        value_set = pc.unique(pa.chunked_array(users, pa.string())) if users else pa.array([], pa.string())
        if not len(value_set):
            return None
        schema = self.interactions.schema
        wanted = pc.field("USER_ID").isin(value_set)
        bulk = [part for part in self.interactions.parts if part not in self.streamed]
        tables = [pq.read_table(part, filters=wanted) for part in bulk]
        tables += [
            pq.read_table(part, filters=wanted & (pc.field("TIMESTAMP") <= int(self.until_seconds)))
            for part in self.streamed
        ]
        table = pa.concat_tables([with_columns(table, schema) for table in tables])
        return self.events.kept(without_repeats(table, schema.dataset_type))

    def _users(self, part: str) -> pa.Array:
        old_enough = pc.field("TIMESTAMP") <= int(self.until_seconds)
        table = pq.read_table(part, columns=["USER_ID"], filters=old_enough)
        return pc.unique(table["USER_ID"])
