"""The audience as a local file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from braze_client.identifiers import EXTERNAL_ID, Identifier
from recsync.errors import FatalError
from recsync.recommend.lists import job_input
from recsync.recommend.lists.audience import (
    check_unique,
    sort_audience,
    with_person,
    write_audience,
    write_audience_items,
)
from recsync.storage.duck import opened


def batches(*rows: tuple[str | None, ...]) -> list[pa.RecordBatch]:
    """Rows of texts, two in a batch."""
    names = ["item_id"] if len(rows[0]) == 1 else ["user_id", "item_id"]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.Table.from_arrays(columns, names).to_batches(max_chunksize=2)


def test_an_audience_of_several_items_holds_each_person_once(tmp_path: Path) -> None:
    rows = batches(("b", "z"), ("a", None), ("b", "x"))
    write_audience((with_person(row, EXTERNAL_ID) for row in rows), tmp_path / "raw", name="audience.sql")
    with opened(tmp_path) as connection:
        assert sort_audience(connection, tmp_path / "raw", tmp_path / "audience.parquet") == 2
        write_audience_items(connection, tmp_path / "raw", tmp_path / "pairs.parquet")
        found = tmp_path / "found.parquet"
        pq.write_table(pa.table({"user_id": ["b", "b", "q"]}), found)
        assert job_input.keep_found(connection, tmp_path / "audience.parquet", found) == 1
    assert pq.read_table(tmp_path / "audience.parquet")["user_id"].to_pylist() == ["b"]
    pairs = pq.read_table(tmp_path / "pairs.parquet").sort_by("place")
    assert pairs.select(["user_id", "item_id"]).to_pylist() == [
        {"user_id": "b", "item_id": "z"},
        {"user_id": "b", "item_id": "x"},
    ]


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (EXTERNAL_ID, ["b-1"]),
        (Identifier("email"), ["ann@example.com"]),
        (Identifier("phone"), ["+4915112345678"]),
        (Identifier("user_alias", "shop"), ["Ann"]),
        (Identifier("braze_id"), ["5f"]),
    ],
    ids=lambda each: each.name if isinstance(each, Identifier) else "",
)
def test_the_column_of_the_identifier_names_the_people(identifier: Identifier, expected: list[str]) -> None:
    row = {
        "user_id": "1",
        "external_id": "b-1",
        "email": " Ann@Example.com",
        "phone": "+4915112345678",
        "user_alias": "Ann",
        "braze_id": "5f",
    }
    named = with_person(pa.RecordBatch.from_pylist([row]), identifier)
    assert named["external_id"].to_pylist() == expected
    assert named["user_id"].to_pylist() == ["1"]
    assert named.schema.names.count("external_id") == 1


def test_without_external_ids_the_user_id_names_the_people() -> None:
    named = with_person(pa.RecordBatch.from_pylist([{"user_id": "1"}]), EXTERNAL_ID)
    assert named["external_id"].to_pylist() == ["1"]


def test_an_address_twice_is_refused_whatever_its_case(tmp_path: Path) -> None:
    email = Identifier("email")
    rows = [{"user_id": "1", "email": "a@example.com"}, {"user_id": "2", "email": "A@EXAMPLE.com"}]
    batches = [with_person(pa.RecordBatch.from_pylist(rows), email)]
    write_audience(batches, tmp_path / "raw", name="audience.sql", person="email")
    with opened(tmp_path) as connection:
        sort_audience(connection, tmp_path / "raw", tmp_path / "audience.parquet")
        with pytest.raises(
            FatalError, match=r"1 Braze user\(s\) more than once.*Make email unique"
        ) as caught:
            check_unique(connection, tmp_path / "audience.parquet", "email")
    assert "example" not in str(caught.value).lower()


def test_a_person_without_an_address_is_refused(tmp_path: Path) -> None:
    rows = [{"user_id": "1", "email": None}, {"user_id": "2", "email": "a@example.com"}]
    batches = [with_person(pa.RecordBatch.from_pylist(rows), Identifier("email"))]
    with pytest.raises(FatalError, match="without user_id or email; leave such rows out"):
        write_audience(batches, tmp_path / "raw", name="audience.sql", person="email")
