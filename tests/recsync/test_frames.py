"""Frames of tables on S3, as a notebook reads them: without Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync import frames
from recsync.errors import FatalError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.tables.build import write_rows
from recsync.tables.schema import ACCOUNTS, DELIVERIES, TABLES
from recsync.tables.store import TableStore

DAYS = [date(2026, 1, day) for day in (1, 2, 3)]


@pytest.fixture
def filled(bucket: Bucket, keys: Keys, tmp_path: Path) -> Bucket:
    """Write three days of accounts of three people."""
    store = TableStore(bucket, keys)
    for day in DAYS:
        planned = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
        rows = [
            {"delivery": f"d{day.day}", "user_id": f"u{n}", "external_id": f"b{n}", "planned_at": planned,
             "outcome": "sent", "data_points": n}
            for n in (1, 2, 3)
        ]  # fmt: skip
        write_rows(ACCOUNTS, rows, tmp_path / "x.parquet")
        store.put(ACCOUNTS, day, f"d{day.day}", tmp_path / "x.parquet")
    return bucket


def test_a_frame_holds_the_days_that_were_asked_for(filled: Bucket) -> None:
    frame = frames.accounts("shop", since="2026-01-02", until=DAYS[2], bucket=filled)
    assert list(frame.columns) == [*ACCOUNTS.names, "date"]
    assert list(frame["delivery"]) == ["d2"] * 3 + ["d3"] * 3
    assert set(frame["date"]) == {pd.Timestamp("2026-01-02"), pd.Timestamp("2026-01-03")}
    assert str(frame["planned_at"].dt.tz) == "UTC"
    assert frame["data_points"].sum() == 12
    assert len(frames.accounts("shop", bucket=filled)) == 9


def test_a_frame_of_one_person(filled: Bucket) -> None:
    for where in ({"user_id": "u2"}, {"external_id": "b2"}):
        frame = frames.accounts("shop", bucket=filled, **where)
        assert list(frame["delivery"]) == ["d1", "d2", "d3"]
        assert set(frame["user_id"]) == {"u2"}
    assert frames.accounts("shop", bucket=filled, user_id="nobody").empty


def test_a_table_without_objects_is_an_empty_frame(filled: Bucket) -> None:
    for table in TABLES:
        frame = getattr(frames, table)("nowhere", bucket=filled)
        assert frame.empty
        assert list(frame.columns) == [*TABLES[table].names, "date"]


def test_an_older_object_without_a_column_has_nulls(filled: Bucket, keys: Keys, tmp_path: Path) -> None:
    pq.write_table(pa.table({"delivery": ["d0"], "user_id": ["u1"]}), tmp_path / "old.parquet")
    TableStore(filled, keys).put(ACCOUNTS, date(2025, 12, 31), "d0", tmp_path / "old.parquet")
    frame = frames.accounts("shop", bucket=filled, until="2025-12-31")
    assert frame["delivery"].tolist() == ["d0"]
    assert frame["arm"].isna().all()


def test_what_is_asked_wrongly_is_said(filled: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__RECSYNC__BUCKET", raising=False)
    with pytest.raises(FatalError, match="Which bucket"):
        frames.deliveries("shop")
    with pytest.raises(FatalError, match="no column user_id"):
        frames.deliveries("shop", bucket=filled, user_id="u1")
    assert "user_id" not in DELIVERIES.names


@pytest.mark.skipif(
    not os.environ.get("RECSYNC_LONG_TESTS"), reason="another process; the linter sees imports"
)
def test_a_notebook_needs_credentials_and_a_bucket_and_no_airflow(filled: Bucket, s3_url: str) -> None:
    """As another process, in which Airflow cannot be imported."""
    code = (
        "import sys\nsys.modules['airflow'] = None\nfrom recsync import frames\n"
        "print(frames.accounts('shop', since='2026-01-03', user_id='u1')['external_id'].tolist())"
    )
    connection = {
        "conn_type": "aws", "login": "test", "password": "test",
        "extra": {"region_name": "us-east-1", "service_config": {"s3": {"endpoint_url": s3_url}}},
    }  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(frames.__file__).parents[1]),
        "AIRFLOW__RECSYNC__BUCKET": filled.name,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['b1']\n", done.stderr
