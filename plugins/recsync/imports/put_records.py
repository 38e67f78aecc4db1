"""Turn rows of exported CSV into records of PutEvents, PutItems and PutUsers.

A row's event id derives from its content, so a row that is put twice is the same event. The service keeps one event of
several with one id, and one of several interactions with equal timestamps and properties:
https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
https://docs.aws.amazon.com/personalize/latest/dg/import-data.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Any

from recsync.program import DatasetType
from recsync.program.avro import AvroField, AvroSchema
from recsync.storage.csv_text import cells, records

# https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
_MAX_CHARACTERS = 256
_MAX_IMPRESSIONS = 25
_MAX_RECOMMENDATION_ID = 40
_MAX_EVENT_BYTES = 10 * 1024
_MAX_PROPERTIES = {DatasetType.INTERACTIONS: 1024, DatasetType.ITEMS: 32_000, DatasetType.USERS: 24_000}
# PutEvents requires a type; the service drops members without a column in the schema.
_NO_TYPE = "interaction"
_MEMBERS = {
    "USER_ID": "userId",
    "ITEM_ID": "itemId",
    "TIMESTAMP": "sentAt",
    "EVENT_TYPE": "eventType",
    "EVENT_VALUE": "eventValue",
    "RECOMMENDATION_ID": "recommendationId",
    "IMPRESSION": "impression",
    "EVENT_ATTRIBUTION_SOURCE": "metricAttribution",
}
_REQUIRED = ("userId", "itemId", "sentAt", "eventType")


@dataclass(frozen=True)
class Unsendable:
    """A row that no call takes, and the reason, which quotes no value."""

    reason: str


def camel_case(column: str) -> str:
    """Return the key of a column in ``properties``: ``CREATION_TIMESTAMP`` is ``creationTimestamp``.

    https://docs.aws.amazon.com/personalize/latest/dg/importing-individual-records.html
    """
    first, *others = column.split("_")
    if not others and not column.isupper():
        return column
    return first.lower() + "".join(word[:1].upper() + word[1:].lower() for word in others)


@dataclass(frozen=True)
class RecordMaker:
    """Turn rows of one object into records.

    :param header: the names of its columns.
    """

    kind: DatasetType
    schema: AvroSchema
    header: tuple[str, ...]

    @cached_property
    def _fields(self) -> list[AvroField | None]:
        by_name = {each.name: each for each in self.schema.fields}
        return [by_name.get(name) for name in self.header]

    @cached_property
    def _salt(self) -> bytes:
        return ",".join(self.header).encode() + b"\n"

    def record(self, row: bytes) -> dict[str, Any] | Unsendable:
        """Return the API record of one row; empty cells are omitted.

        The event id is a 128-bit hash of the row, so that a repeated row is the same event.
        """
        try:
            values = {
                each.name: _value(each, cell)
                for each, cell in zip(self._fields, cells(row.decode()), strict=True)
                if each is not None and cell
            }
        except ValueError:
            return Unsendable("the row does not fit its schema")
        if self.kind is not DatasetType.INTERACTIONS:
            return self._entity(values)
        digest = hashlib.blake2b(self._salt, digest_size=16)
        digest.update(row)
        return self._event(values, digest.hexdigest())

    def _entity(self, values: dict[str, Any]) -> dict[str, Any] | Unsendable:
        column = f"{self.kind.value[:-1]}_ID"
        found: dict[str, Any] = {_MEMBERS[column]: values.pop(column, None)}
        if problem := _id_problem(found[_MEMBERS[column]], column):
            return Unsendable(problem)
        return self._with_properties(found, values)

    def _event(self, values: dict[str, Any], event_id: str) -> dict[str, Any] | Unsendable:
        event: dict[str, Any] = {"eventId": event_id}
        if "EVENT_TYPE" not in self.header:
            event["eventType"] = _NO_TYPE
        for column, member in _MEMBERS.items():
            if column in values:
                event[member] = values.pop(column)
        if "impression" in event:
            event["impression"] = event["impression"].split("|")
        if "metricAttribution" in event:
            event["metricAttribution"] = {"eventAttributionSource": event["metricAttribution"]}
        problem = next(_event_problems(event), None)
        if problem:
            return Unsendable(problem)
        found = self._with_properties(event, values)
        if not isinstance(found, Unsendable) and len(json.dumps(found)) > _MAX_EVENT_BYTES:
            return Unsendable(f"PutEvents takes at most {_MAX_EVENT_BYTES} bytes of one event")
        return found

    def _with_properties(
        self, found: dict[str, Any], values: Mapping[str, Any]
    ) -> dict[str, Any] | Unsendable:
        if not values:
            return found
        text = json.dumps({camel_case(name): value for name, value in values.items()}, ensure_ascii=False)
        if len(text) > _MAX_PROPERTIES[self.kind]:
            return Unsendable(f"its metadata has over {_MAX_PROPERTIES[self.kind]} characters as JSON")
        return {**found, "properties": text}


def _event_problems(event: Mapping[str, Any]) -> Iterator[str]:
    for member in _REQUIRED:
        if member not in event:
            yield f"PutEvents needs {member}, and its cell is empty"
    for member in ("userId", "itemId", "eventType"):
        if problem := _id_problem(event.get(member), member):
            yield problem
    if len(event.get("recommendationId", "")) > _MAX_RECOMMENDATION_ID:
        yield f"recommendationId has over {_MAX_RECOMMENDATION_ID} characters"
    if len(event.get("impression", ())) > _MAX_IMPRESSIONS:
        yield f"PutEvents takes at most {_MAX_IMPRESSIONS} items of an impression"


def _id_problem(value: Any, name: str) -> str | None:
    if not value:
        return f"{name} is empty"
    return None if len(value) <= _MAX_CHARACTERS else f"{name} has over {_MAX_CHARACTERS} characters"


def _value(column: AvroField, cell: str) -> Any:
    if not column.is_number:
        return cell
    return int(cell) if column.type in {"int", "long"} else float(cell)


@dataclass
class ObjectRecords:
    """The records of one exported object.

    :param read: number of the last row that was read.
    """

    kind: DatasetType
    schema: AvroSchema
    blocks: Iterable[bytes]
    read: int = 0
    _unsendable: dict[int, str] = field(default_factory=dict)

    def after(self, done: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the records of the rows after the first ``done``, each with the number of its row, from 1."""
        found = records(self.blocks)
        first = next(found, [b""])
        maker = RecordMaker(self.kind, self.schema, tuple(cells(first[0].decode())))
        rows = chain.from_iterable(chain([first[1:]], found))
        for number, row in islice(enumerate(rows, start=1), done, None):
            self.read = number
            record = maker.record(row)
            if isinstance(record, Unsendable):
                self._unsendable[number] = record.reason
            else:
                yield number, record

    def taken_out(self, last: int) -> dict[int, str]:
        """Remove and return the rows without a record up to a row, with their reasons."""
        found = {number: reason for number, reason in self._unsendable.items() if number <= last}
        for number in found:
            del self._unsendable[number]
        return found
