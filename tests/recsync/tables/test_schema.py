"""The table of tables against what fills it."""

from __future__ import annotations

import pyarrow as pa

from recsync.push.accounts import Outcome
from recsync.tables.schema import DELIVERIES, TABLES, arrow_schema


def test_every_outcome_has_a_column_of_its_deliveries() -> None:
    assert {each.value for each in Outcome} <= set(DELIVERIES.names)
    for outcome in Outcome:
        text = next(c.meaning for c in TABLES["accounts"].columns if c.name == "outcome")
        assert outcome.value in text


def test_tables_with_an_id_of_a_person_say_so() -> None:
    for table in TABLES.values():
        ids = {"user_id", "external_id"} & set(table.names)
        assert table.is_personal == bool(ids)
        assert ids <= {column.name for column in table.columns if column.personal}


def test_types_are_such_as_every_engine_reads() -> None:
    kinds = {field.type for table in TABLES.values() for field in arrow_schema(table)}
    assert kinds == {pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC")}
