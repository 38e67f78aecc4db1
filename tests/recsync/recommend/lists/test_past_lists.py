"""Published lists of earlier runs, by user."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.program import Rules
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.catalog import read_catalog
from recsync.recommend.lists.history import PAST_LISTS, write_past_lists
from recsync.recommend.lists.list_partition import LISTS, user_items
from recsync.storage.duck import opened

TODAY = ["p0", "p1", "p3"]
ROWS = [("b1", ["p1", "p2"]), ("b2", []), ("b3", ["p3"]), ("b4", ["p1"])]


@pytest.mark.parametrize("with_audience", [True, False])
def test_people_are_named_by_user_id_where_the_run_kept_its_audience(
    tmp_path: Path, with_audience: bool
) -> None:
    former = ["p3", "p2", "p1"]
    lists = [{"external_id": who, "items": [former.index(item) for item in items]} for who, items in ROWS]
    pq.write_table(pa.Table.from_pylist(lists, schema=LISTS), tmp_path / "lists.parquet")
    # Two Braze users may share one user.
    users = {"b1": "u1", "b2": "u2", "b3": "u1", "b4": "u4"}
    people = [{"user_id": user, "external_id": person} for person, user in users.items()]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), tmp_path / "audience.parquet")
    catalog = read_catalog([pa.RecordBatch.from_pydict({"item_id": TODAY})], {}, {}, Rules(), name="c.sql")
    with opened(tmp_path) as connection:
        write_past_lists(
            connection,
            tmp_path / "lists.parquet",
            pa.table({"item_id": former}),
            tmp_path / "audience.parquet" if with_audience else None,
            catalog,
            tmp_path / "past",
        )
    table = pq.read_table(tmp_path / "past")
    assert table.schema.equals(PAST_LISTS)
    found = [(row["user_id"], row["items"]) for row in table.to_pylist()]
    expected = [(who, [TODAY.index(i) if i in TODAY else -1 for i in items]) for who, items in ROWS if items]
    assert sorted(found) == sorted((users[who] if with_audience else who, items) for who, items in expected)


def test_lists_become_pairs_of_user_and_catalog_position() -> None:
    rows = [("u1", [2, -1]), ("u2", [0]), ("u1", [0, 2]), ("stranger", [1])]
    past = pa.Table.from_pylist(
        [{"user_id": user, "items": items} for user, items in rows], schema=PAST_LISTS
    )
    assert user_items(past, pa.array(["u2", "u1"]), 3).keys.tolist() == [0, 3, 5, 5]
    assert user_items(PAST_LISTS.empty_table(), pa.array(["u2"]), 3).keys.tolist() == []
