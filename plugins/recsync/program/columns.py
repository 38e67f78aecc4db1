"""What each column of a dataset is, beyond its Avro type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto

import pyarrow as pa

from recsync.program import DatasetType
from recsync.program.avro import AvroSchema


class Role(Enum):
    """Which rules a column falls under."""

    ID = auto()
    TIMESTAMP = auto()
    CREATION_TIMESTAMP = auto()
    EVENT_TYPE = auto()
    IMPRESSION = auto()
    CATEGORY = auto()
    TEXTUAL = auto()
    TEXT = auto()
    NUMBER = auto()


IDS = ("USER_ID", "ITEM_ID", "ACTION_ID")
_BY_NAME = {
    **dict.fromkeys(IDS, Role.ID),
    "TIMESTAMP": Role.TIMESTAMP,
    "CREATION_TIMESTAMP": Role.CREATION_TIMESTAMP,
    "EVENT_TYPE": Role.EVENT_TYPE,
    "IMPRESSION": Role.IMPRESSION,
}
# What interactions may hold beside metadata.
# https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
_RESERVED = frozenset(
    {*_BY_NAME, "EVENT_VALUE", "RECOMMENDATION_ID", "EVENT_ATTRIBUTION_SOURCE"} - {"CREATION_TIMESTAMP"}
)
# Columns with few values are read as dictionaries: their rules then look at each value once per block.
_FEW_VALUES = frozenset({Role.EVENT_TYPE, Role.CATEGORY})
_NUMBERS = {"int": pa.int32(), "long": pa.int64(), "float": pa.float64(), "double": pa.float64()}


@dataclass(frozen=True)
class Column:
    """One column.

    :param type: the Avro type, without null.
    """

    name: str
    type: str
    nullable: bool
    role: Role

    @property
    def arrow_type(self) -> pa.DataType:
        """The type it is read as."""
        if self.role in _FEW_VALUES:
            return pa.dictionary(pa.int32(), pa.string())
        return _NUMBERS.get(self.type, pa.string())

    @property
    def is_dictionary(self) -> bool:
        """Whether it is read as a dictionary."""
        return self.role in _FEW_VALUES

    @property
    def is_joined(self) -> bool:
        """Whether several values stand in one cell, joined with ``|``."""
        return self.role is Role.CATEGORY or self.role is Role.IMPRESSION

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.type in _NUMBERS


def columns_of(schema: AvroSchema) -> tuple[Column, ...]:
    """Give the columns of a schema, in its order."""
    attributes = {raw["name"]: raw for raw in json.loads(schema.text)["fields"]}
    return tuple(
        Column(field.name, field.type, field.nullable, _role(field.name, field.type, attributes[field.name]))
        for field in schema.fields
    )


def own_id(dataset_type: DatasetType) -> str | None:
    """Name the column that names a row of users, items or actions; interactions have none."""
    return {
        DatasetType.USERS: "USER_ID",
        DatasetType.ITEMS: "ITEM_ID",
        DatasetType.ACTIONS: "ACTION_ID",
    }.get(dataset_type)


def subject_id(dataset_type: DatasetType) -> str:
    """Name the column that says what users of interactions had to do with."""
    return "ACTION_ID" if dataset_type is DatasetType.ACTION_INTERACTIONS else "ITEM_ID"


def metadata_columns(columns: tuple[Column, ...]) -> int:
    """Count the columns of interactions that are metadata."""
    return sum(column.name not in _RESERVED for column in columns)


def _role(name: str, kind: str, attributes: dict[str, object]) -> Role:
    if kind in _NUMBERS:
        role = _BY_NAME.get(name)
        return role if role in {Role.TIMESTAMP, Role.CREATION_TIMESTAMP} else Role.NUMBER
    if attributes.get("categorical") is True:
        return Role.CATEGORY
    if attributes.get("textual") is True:
        return Role.TEXTUAL
    return _BY_NAME.get(name, Role.TEXT)
