from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsync.core.avro import AvroSchema
from recsync.core.csv_checks import check_csv, check_minimums
from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.errors import FatalError

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))
AT = int(HOUR.start.timestamp())
SCHEMA = AvroSchema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "Interactions",
            "fields": [
                {"name": "USER_ID", "type": "string"},
                {"name": "ITEM_ID", "type": "string"},
                {"name": "TIMESTAMP", "type": "long"},
                {"name": "EVENT_VALUE", "type": ["null", "float"]},
            ],
        }
    ),
    DatasetType.INTERACTIONS,
)


def check(tmp_path: Path, *rows: str) -> tuple[int, int]:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_VALUE", *rows]) + "\n")
    figures = check_csv(path, SCHEMA, DatasetType.INTERACTIONS, HOUR, name="shop/interactions.sql")
    return figures.rows, figures.users_with_two_interactions


def test_rows_and_users_are_counted(tmp_path: Path) -> None:
    assert check(tmp_path, f"a,x,{AT},1.5", f"a,y,{AT + 5},", f'"b\\"c, d",x,{AT},') == (3, 1)


def test_an_empty_interval_is_sound(tmp_path: Path) -> None:
    assert check(tmp_path) == (0, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"a,x,{AT * 1000},", "looks like milliseconds"),
        (f"a,x,{AT - 1},", "outside the interval"),
        (f"a,x,{AT + 3600},", "outside the interval"),
        ("a,x,yesterday,", "a value that the schema does not allow"),
        (f",x,{AT},", "without USER_ID"),
        (f'"",x,{AT},', "empty or over 256"),
        (f"{'u' * 257},x,{AT},", "empty or over 256"),
        (f"a,x,{AT},cheap", "a value that the schema does not allow"),
    ],
)
def test_broken_rows_are_refused_with_the_rule_and_the_file(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(FatalError, match=message) as caught:
        check(tmp_path, f"a,x,{AT},1", row)
    assert "shop/interactions.sql" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "users", "message"), [(999, 100, "at least 1000"), (5000, 24, "at least 25")]
)
def test_too_little_to_train_on_is_refused_before_it_is_paid_for(rows: int, users: int, message: str) -> None:
    from recsync.core.csv_checks import CsvFigures

    with pytest.raises(FatalError, match=message):
        check_minimums(CsvFigures(rows, users), name="shop/interactions.sql")
    check_minimums(CsvFigures(1000, 25), name="shop/interactions.sql")
