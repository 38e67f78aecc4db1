"""Read the training data of a solution version: its events, and the columns that the service trains on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.avro import NUMERIC_TYPES, DatasetSchema
from personalize_local.datasets.parquet import DatasetParts, read_parts, with_columns, without_repeats
from personalize_local.engine.inputs import ItemText, Objective, TrainingData
from personalize_local.errors import JobFailed

# Minimum data: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_FEWEST_INTERACTIONS = 1000
_FEWEST_REPEATING_USERS = 25
_FEWEST_INTERACTIONS_PER_USER = 2
_LEAST_SHARE_OF_REPEATING_USERS = 0.01

_INTERACTION_COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "IMPRESSION")
_COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE")


@dataclass(frozen=True)
class TrainingRequest:
    """Data to train on; datasets by type, columns as in `trainingDataConfig`."""

    datasets: dict[str, DatasetParts]
    event_type: str | None = None
    event_value_threshold: float | None = None
    excluded_columns: dict[str, list[str]] = field(default_factory=dict)
    included_columns: dict[str, list[str]] = field(default_factory=dict)
    events: tuple[EventParameters, ...] = ()
    objective: Objective | None = None
    needs: Needs = field(default_factory=lambda: Needs())


@dataclass(frozen=True)
class EventParameters:
    """One entry of `eventsConfig`; an `event_type` of None matches all other types."""

    event_type: str | None
    threshold: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Needs:
    """Data that a recipe needs beyond interactions and trainable metadata.

    :param interactions: whether the service's minimum of interactions applies.
    :param all_item_columns: whether queries can name columns of Items that are not trained on.
    :param actions: whether Actions and Action_Interactions are used.
    :param event: event type to which the minimum of interactions applies too, whatever else is trained on.
    """

    interactions: bool = True
    all_item_columns: bool = False
    actions: bool = False
    event: str | None = None


def read_training_data(request: TrainingRequest) -> TrainingData:
    """Read the data of a training; raise `JobFailed` when it is below the service's minimum."""
    interactions = _interactions(request)
    if request.needs.interactions:
        _check_minimum(interactions, request.event_type)
    if request.needs.event:
        count = pc.sum(pc.equal(interactions["EVENT_TYPE"], request.needs.event)).as_py() or 0
        if count < _FEWEST_INTERACTIONS:
            raise JobFailed(_too_few(request.needs.event))
    text = _item_text(request)
    always = ("ITEM_ID", "CREATION_TIMESTAMP", *([text.name] if text.name else []))
    return TrainingData(
        interactions=interactions,
        items=_metadata(request, "ITEMS", always),
        users=_metadata(request, "USERS", ("USER_ID",)),
        actions=_whole(request, "ACTIONS"),
        action_interactions=_whole(request, "ACTION_INTERACTIONS"),
        item_text=text,
        objective=request.objective,
    )


def _item_text(request: TrainingRequest) -> ItemText:
    dataset = request.datasets.get("ITEMS")
    if dataset is None:
        return ItemText()
    schema = dataset.schema
    kept = [field for field in schema.fields if field.name not in _columns(request.excluded_columns, "ITEMS")]
    return ItemText(
        name=next((field.name for field in kept if field.item_name), None),
        textual=next(
            (field.name for field in kept if field.textual and _trains(field.name, schema, request)), None
        ),
    )


def _whole(request: TrainingRequest, dataset_type: str) -> pa.Table | None:
    dataset = request.datasets.get(dataset_type)
    if not request.needs.actions or dataset is None or not dataset.parts:
        return None
    return read_parts(dataset.parts, dataset_type)


def _interactions(request: TrainingRequest) -> pa.Table:
    dataset = request.datasets.get("INTERACTIONS")
    if dataset is None or not dataset.parts:
        if not request.needs.interactions:
            return pa.table({name: pa.array([], pa.string()) for name in _INTERACTION_COLUMNS[:2]})
        raise JobFailed(_too_few(request.event_type))
    schema = dataset.schema
    columns = [name for name in _INTERACTION_COLUMNS if name in schema.names]
    table = read_parts(dataset.parts, "INTERACTIONS", columns)
    return _kept_events(table, request)


def _kept_events(table: pa.Table, request: TrainingRequest) -> pa.Table:
    if request.events:
        return _kept_by_parameters(table, request.events)
    if request.event_type is None:
        return table
    if "EVENT_TYPE" not in table.column_names:
        return table.slice(0, 0)
    table = table.filter(pc.equal(table["EVENT_TYPE"], request.event_type))
    if request.event_value_threshold is None:
        return table
    if "EVENT_VALUE" not in table.column_names:
        return table.slice(0, 0)
    return table.filter(pc.greater_equal(table["EVENT_VALUE"], request.event_value_threshold))


def _kept_by_parameters(table: pa.Table, events: tuple[EventParameters, ...]) -> pa.Table:
    """Keep the rows that match one of the entries."""
    kept = pa.chunked_array([pa.array(np.zeros(table.num_rows, dtype=np.bool_))])
    for each in events:
        wanted = pa.chunked_array([pa.array(np.ones(table.num_rows, dtype=np.bool_))])
        if each.event_type is not None:
            if "EVENT_TYPE" not in table.column_names:
                continue
            wanted = pc.equal(table["EVENT_TYPE"], each.event_type)
        if each.threshold is not None:
            if "EVENT_VALUE" not in table.column_names:
                continue
            wanted = pc.and_kleene(wanted, pc.greater_equal(table["EVENT_VALUE"], each.threshold))
        kept = pc.or_(kept, pc.fill_null(wanted, False))
    return table.filter(kept)


def _check_minimum(interactions: pa.Table, event_type: str | None) -> None:
    if interactions.num_rows < _FEWEST_INTERACTIONS:
        raise JobFailed(_too_few(event_type))
    counts = pc.value_counts(interactions["USER_ID"].combine_chunks()).field("counts")
    repeating = pc.sum(pc.greater_equal(counts, _FEWEST_INTERACTIONS_PER_USER)).as_py() or 0
    if repeating < _FEWEST_REPEATING_USERS:
        raise JobFailed(
            f"Create failed. Dataset has fewer than {_FEWEST_REPEATING_USERS} users"
            f" with at least {_FEWEST_INTERACTIONS_PER_USER} interactions each."
        )
    if repeating < _LEAST_SHARE_OF_REPEATING_USERS * len(counts):
        raise JobFailed(
            f"Create failed. Fewer than {_LEAST_SHARE_OF_REPEATING_USERS:.0%} of the users in the dataset"
            f" have at least {_FEWEST_INTERACTIONS_PER_USER} interactions each."
        )


def _too_few(event_type: str | None) -> str:
    text = f"Dataset has fewer than {_FEWEST_INTERACTIONS} interactions"
    return f"{text} after filtering by event type: {event_type}" if event_type else f"{text}."


def _metadata(request: TrainingRequest, dataset_type: str, always: tuple[str, ...]) -> pa.Table | None:
    dataset = request.datasets.get(dataset_type)
    if dataset is None or not dataset.parts:
        return None
    schema = dataset.schema
    everything = request.needs.all_item_columns and dataset_type == "ITEMS"
    wanted = [name for name in schema.names if everything or name in always or _trains(name, schema, request)]
    return read_parts(dataset.parts, dataset_type, wanted)


def _trains(name: str, schema: DatasetSchema, request: TrainingRequest) -> bool:
    """Return whether a column is trained on: categorical, textual and numeric ones are; other strings are not."""
    if name in _columns(request.excluded_columns, schema.dataset_type):
        return False
    included = _columns(request.included_columns, schema.dataset_type)
    if included and name not in included:
        return False
    column = next(field for field in schema.fields if field.name == name)
    return column.categorical or column.textual or column.type in NUMERIC_TYPES


def _columns(config: dict[str, list[str]], dataset_type: str) -> list[str]:
    return [name for key, names in config.items() if key.upper() == dataset_type for name in names]


@dataclass(frozen=True)
class TrainedEvents:
    """Selection of the events that a solution version was trained on."""

    event_type: str | None = None
    event_value_threshold: float | None = None
    event_types: tuple[str, ...] = ()

    @classmethod
    def of_version(cls, body: dict[str, Any]) -> TrainedEvents:
        """Return the selection of a solution version by its body."""
        config = body.get("solutionConfig") or {}
        threshold = config.get("eventValueThreshold")
        listed = (config.get("eventsConfig") or {}).get("eventParametersList", [])
        return cls(
            body.get("eventType"),
            None if threshold is None else float(threshold),
            tuple(each["eventType"] for each in listed if "eventType" in each),
        )

    def kept(self, table: pa.Table) -> pa.Table:
        """Return the selected rows."""
        types = [self.event_type] if self.event_type else list(self.event_types)
        if types and "EVENT_TYPE" in table.column_names:
            table = table.filter(pc.is_in(table["EVENT_TYPE"], pa.array(types, pa.string())))
        if self.event_value_threshold is not None and "EVENT_VALUE" in table.column_names:
            table = table.filter(pc.greater_equal(table["EVENT_VALUE"], self.event_value_threshold))
        return table.select([name for name in _COLUMNS if name in table.column_names])


@dataclass(frozen=True)
class StreamedHistories:
    """Histories of users with streamed events, for a batch job.

    :param interactions: all files of the dataset.
    :param streamed: those with rows streamed since the training.
    :param until_seconds: ignore events with a later TIMESTAMP, in epoch seconds.
    """

    interactions: DatasetParts
    streamed: tuple[str, ...]
    events: TrainedEvents
    until_seconds: float

    def read(self) -> pa.Table | None:
        """Return all interactions of these users; None when there are none."""
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
