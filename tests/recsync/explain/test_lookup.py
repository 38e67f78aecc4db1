"""Rows of one person in Parquet objects, with the requests that they take."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.explain.lookup import ParquetObject
from recsync.storage.bucket import Bucket

# Ids that begin alike for longer than any cut statistics, and such as sort behind ASCII.
IDS = sorted([f"{'p' * 80}-{n:05d}" for n in range(400)] + ["é", "z\U0001f381", "a'b"])


@pytest.fixture
def put(bucket: Bucket) -> Any:
    def write(key: str, rows: list[str], **options: Any) -> None:
        table = pa.table({"external_id": rows, "place": [[n] for n in range(len(rows))], "other": rows})
        sink = BytesIO()
        pq.write_table(table, sink, row_group_size=50, **options)
        bucket.put(key, sink.getvalue())

    return write


def places(bucket: Bucket, key: str, wanted: str) -> list[int]:
    with ParquetObject.opened(bucket, key) as found:
        assert found is not None
        return [row.values["place"][0] for row in found.find("external_id", wanted, ["place", "not there"])]


@pytest.mark.parametrize("options", [{}, {"write_statistics": False}])
def test_everybody_is_found_with_statistics_and_without(
    bucket: Bucket, put: Any, options: dict[str, Any]
) -> None:
    put("x.parquet", IDS, **options)
    for number in (0, 49, 50, 120, 399, len(IDS) - 2, len(IDS) - 1):
        assert places(bucket, "x.parquet", IDS[number]) == [number]
    assert places(bucket, "x.parquet", "nobody") == []


def test_rows_of_one_person_in_two_groups_are_found(bucket: Bucket, put: Any) -> None:
    put("x.parquet", ["a"] * 48 + ["b"] * 4 + ["c"])
    assert places(bucket, "x.parquet", "b") == [48, 49, 50, 51]


def test_files_of_duckdb_are_read(bucket: Bucket, tmp_path: Any) -> None:
    path = tmp_path / "x.parquet"
    duckdb.sql(
        "COPY (SELECT 'p' || lpad(i::text, 300, '0') AS external_id, [i] AS place FROM range(5000) r(i) "
        f"ORDER BY 1) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    )
    bucket.upload("x.parquet", path)
    for number in (0, 2047, 2048, 4999):
        assert places(bucket, "x.parquet", f"p{number:0300d}") == [number]


def test_another_object_of_the_same_rows_is_read_near_the_row(bucket: Bucket, put: Any) -> None:
    put("x.parquet", IDS, write_statistics=False)
    put("y.parquet", IDS[1:], write_statistics=False)
    with (
        ParquetObject.opened(bucket, "x.parquet") as first,
        ParquetObject.opened(bucket, "y.parquet") as second,
    ):
        assert first is not None
        assert second is not None
        for number in (50, 51, 399):
            (near,) = first.find("external_id", IDS[number], ["place"])
            assert near.group == number // 50
            # Also where an erasure moved the row into the group before.
            (row,) = second.find("external_id", IDS[number], ["place"], near)
            assert row.values["place"] == [number - 1]


def test_a_missing_object_is_none(bucket: Bucket) -> None:
    with ParquetObject.opened(bucket, "x.parquet") as found:
        assert found is None


def test_only_parts_are_read(bucket: Bucket, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        "x.parquet",
        [f"{n:06d}{'x' * 400}{n}" for n in range(20_000)],
        use_dictionary=False,
        compression="none",
    )
    read = []
    get_object = bucket.client.get_object

    def counted(**asked: Any) -> Any:
        answer = get_object(**asked)
        read.append(answer["ContentLength"])
        return answer

    monkeypatch.setattr(bucket.client, "get_object", counted)
    assert places(bucket, "x.parquet", f"{1234:06d}{'x' * 400}1234") == [1234]
    assert sum(read) < 0.1 * (bucket.size_bytes("x.parquet") or 0)
