from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.storage.keys import Keys
from recsync.storage.list_files import LEFT_OUT, LISTS, file_of, join_files, part_keys, published_keys

KEYS = Keys("shop")


def test_one_file_has_the_name_that_runs_of_earlier_releases_have() -> None:
    assert published_keys(KEYS, "r", LISTS, {"run": "r"}) == ["shop/recommendations/r/lists.parquet"]
    assert published_keys(KEYS, "r", LISTS, None) == part_keys(KEYS, "r", LISTS, 1)
    assert published_keys(KEYS, "r", LEFT_OUT, {"files": 2}) == [
        "shop/recommendations/r/left_out-000.parquet",
        "shop/recommendations/r/left_out-001.parquet",
    ]


def test_several_files_become_one_in_their_order(tmp_path: Path) -> None:
    put_by = pa.array([["", "popular"], None, [""]], pa.list_(pa.string()))
    whole = pa.table({"a": [1, 2, 3], "put_by": put_by, "tier": ["x", "", "x"]})
    target, tables = tmp_path / "lists.parquet", [whole.slice(0, 2), whole.slice(2)]
    files = [file_of(target, number, 2) for number in range(2)]
    for path, table in zip(files, tables, strict=True):
        pq.write_table(table.replace_schema_metadata({"catalog": "x"}), path)
    join_files(files, target)
    assert pq.read_table(target).replace_schema_metadata(None) == whole
    assert pq.read_schema(target).metadata[b"catalog"] == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["lists.parquet"]
    join_files([target], target)
    assert pq.read_metadata(target).num_rows == 3
