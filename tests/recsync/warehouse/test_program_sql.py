from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recsync import settings
from recsync.errors import FatalError
from recsync.program import DatasetType, Program
from recsync.program.intervals import Interval
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import POSTGRES
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.program_sql import export_query, is_ordered

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))
FULL = Interval.until(HOUR.end)


@pytest.mark.parametrize("interval", [HOUR, FULL])
@pytest.mark.parametrize("kind", DatasetType)
def test_all_but_a_snapshot_of_interactions_is_ordered(kind: DatasetType, interval: Interval) -> None:
    assert is_ordered(kind, interval) is not (kind is DatasetType.INTERACTIONS and interval is FULL)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A PostgreSQL warehouse that tells columns only."""
    monkeypatch.setattr(settings, "include_folder", lambda: tmp_path)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "items.sql").write_text("SELECT 1; -- items")
    types = {"item_id": "text", "genres": "text[]"}
    return SimpleNamespace(
        dialect=POSTGRES, columns=lambda query, *, name: [ReturnedColumn.of(*column) for column in types.items()],
        types=types,
    )  # fmt: skip


def items_query(source: Any) -> str:
    program = cast("Program", SimpleNamespace(sql_file=lambda folder: f"{folder}.sql"))
    fields = [
        SimpleNamespace(name="ITEM_ID", is_joined=False),
        SimpleNamespace(name="GENRES", is_joined=True),
    ]
    schema: Any = SimpleNamespace(columns=["ITEM_ID", "GENRES"], fields=fields)
    return export_query(program, DatasetType.ITEMS, HOUR, schema, cast("Warehouse", source))


def test_arrays_of_categorical_fields_are_joined(source: Any) -> None:
    assert items_query(source).startswith(
        'SELECT "item_id" AS "ITEM_ID", array_to_string("genres", \'|\') AS "GENRES" FROM (\nSELECT 1\n)'
    )


def test_ids_of_a_type_that_is_no_id_are_named_with_the_file(source: Any) -> None:
    source.types["item_id"] = "double precision"
    with pytest.raises(FatalError, match=r"items\.sql returns ids of a type that is no id: ITEM_ID"):
        items_query(source)
