from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.forget import csv_rows, json_text, parquet_rows
from recsync.forget.csv_rows import Removed
from recsync.forget.erasure_rules import Way, way_of
from recsync.forget.identity import Identity

ANN = Identity('a"n,n', ("b-7",))


def test_csv_rows_leave_in_the_dialect_of_personalize_and_neighbours_stay() -> None:
    kept = b'ITEM_ID,USER_ID\ni1,an\ni2,"a\\"n,nn"\n"a\\"n,n",bob\n"two\nlines",bob\n'
    text = kept + b'i3,"a\\"n,n"\n"i,\n4","a\\"n,n"\n'
    counted = Removed()
    # Cut anywhere, also inside a row.
    blocks = [text[n : n + 7] for n in range(0, len(text), 7)]
    assert b"".join(csv_rows.without_person(blocks, ANN, counted)) == kept
    assert (counted.kept, counted.removed) == (4, 2)


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ({"input": {"userId": 'a"n,n'}, "output": {"recommendedItems": ["i"]}}, None),
        # An item may have the id of a person.
        ({"input": {"itemId": "b-7"}, "output": {"usersList": ["x", 'a"n,n']}},
         {"input": {"itemId": "b-7"}, "output": {"usersList": ["x"]}}),
        ({"name": "USER_ID", "smallest": 'a"n,n'}, {"name": "USER_ID", "smallest": "erased"}),
        ({"name": "PRICE", "smallest": 'a"n,n'}, {"name": "PRICE", "smallest": 'a"n,n'}),
        ({"rule": "type", "values": {"USER_ID": 'a"n,n', "ITEM_ID": "i"}}, None),
        ({"reason": "bad", "object": {"external_id": "b-7", "recs": []}}, None),
        ({"reason": "bad", "object": '{"external_id": "b-7"}'}, None),
        ({"reason": "b-7 is not known, b-77 is"}, {"reason": "erased is not known, b-77 is"}),
    ],
)  # fmt: skip
def test_a_json_document_loses_the_person_and_keeps_the_rest(line: Any, left: Any) -> None:
    assert json_text.document_without(line, ANN) == left


def test_a_sample_loses_the_persons_payload_only() -> None:
    sample = [{"part": "rest", "object": {"external_id": person}} for person in ("b-7", "b-8")]
    assert json_text.document_without(sample, ANN) == sample[1:]


def test_parquet_rows_leave_or_stay_in_their_places_without_content(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    table = pa.table(
        {
            "external_id": ["b-6", "b-7", "b-8"],
            "outcome": ["sent"] * 3,
            "reason": [None, "b-7!", None],
            "object": [b"6", b"7", b"8"],
        }
    )
    pq.write_table(table, source, row_group_size=2)

    assert parquet_rows.without_person(source, target, ANN).removed == 1
    assert pq.read_table(target)["external_id"].to_pylist() == ["b-6", "b-8"]

    assert parquet_rows.without_person(source, target, ANN, stand_in="erased-1").kept == 3
    assert pq.read_table(target).to_pylist()[1] == {
        "external_id": "erased-1", "outcome": "sent", "reason": "", "object": b"{}"
    }  # fmt: skip


def test_a_parquet_file_without_the_person_is_not_written(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"item_id": ["b-7"]}), source)
    assert parquet_rows.without_person(source, target, ANN).removed == 0
    assert not target.exists()


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("shop/exports/interactions/2026-11-22T0500Z.csv", Way.ROWS),
        ("shop/exports/manifests/2026-11-22T0500Z.json", Way.DOCUMENT),
        ("shop/full/r/reports/users.html", Way.PAGE),
        ("shop/full/r/staging/users/0000_part_00.gz", Way.WHOLE),
        ("shop/exports/ids/users/2026-11-22T0500Z.u64", Way.HASHES),
        ("shop/exports/imported/items/2026-11-22T0500Z.5e4ae6e5.u64", Way.HASHES),
        ("shop/batch/r/output/users.json.out.gz", Way.LINES),
        ("shop/deliveries/d/writes/rest.parquet", Way.STAND_IN),
        ("shop/state/last_sent/00000001-d.parquet", Way.TABLE),
        ("shop/erasure/0123/request.json", None),
    ],
)
def test_every_place_has_its_way(key: str, way: Way | None) -> None:
    assert way_of("shop", key) is way
