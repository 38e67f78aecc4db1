"""What is told about people whose lists were sent, removed or never recorded; tests/e2e has whole runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import duckdb
import kit as kit_module
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowd import NAMES, Crowd
from kit import Kit

from recsync.explain.explain import ParquetObject, explain, item_of
from recsync.explain.explanation import Item
from recsync.freshness.removal import plan_removal
from recsync.push import read_back
from recsync.push.deliver import deliver
from recsync.storage.bucket import Bucket

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs are of now; the local Braze applies a write after 0.2 s."""
    monkeypatch.setattr(kit_module, "time_of", lambda run: NOW.isoformat())
    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.4, 1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", NAMES)
def test_people_of_every_identifier_are_explained_and_lose_an_old_list(kit: Kit, name: str) -> None:
    crowd = Crowd(kit, name, count=2)
    crowd.write_program(recommendations={"max_age_days": 14})
    kit.publish("1", crowd.lists())
    kit.push()
    kit.servers.control("POST", "flush")
    (found,) = explain(kit.name, [crowd.people[1].upper() if name == "email" else crowd.people[1]])
    assert found.person == crowd.people[1]
    assert found.summary.startswith("The list was sent.")
    assert found.items == tuple(Item(f"p-{n}", f"Product {n}", put_by="personal") for n in (1, 2))
    assert found.braze == {"recs": ["p-1", "p-2"]}
    assert found.as_sent is True
    # The lists of an earlier version come without a record of the rules.
    assert found.left_out is None
    remove_old(kit)
    assert crowd.shown() == dict.fromkeys(crowd.people)


def remove_old(kit: Kit) -> None:
    late = NOW + timedelta(days=15)
    manifest = plan_removal(kit.name, dag_run="x", run="x", now=late, allow_removals=True)
    assert manifest is not None
    deliver(kit.name, manifest.delivery)


def test_a_removed_list_a_changed_one_and_one_that_is_not_pushed_yet(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 14})
    lists = kit.lists(3)
    kit.publish("1", lists)
    kit.push()
    first, second, third = lists
    kit.servers.control("POST", "flush")
    kit.servers.control("POST", "profiles", json=[{"external_id": second, "recs": ["by hand"]}])
    kit.servers.control("POST", "flush")
    (found,) = explain(kit.name, [second])
    assert found.as_sent is False
    remove_old(kit)
    (found,) = explain(kit.name, [first])
    assert found.summary == (
        "The list in Braze was removed, because it was too old. Braze has no list of this program."
    )
    kit.publish("2", kit.lists(3, shift=1))
    (found,) = explain(kit.name, [first])
    assert found.summary.startswith("The list in Braze was removed")
    kit.push()
    kit.publish("3", kit.lists(2))
    (found, gone) = explain(kit.name, [first, third])
    assert found.summary == (
        f"The list is published and was not pushed yet. The list in Braze was sent at {found.sent.at}."
        if found.sent
        else ""
    )
    assert gone.summary.endswith("Braze still has an earlier list, which the next push removes.")


def test_braze_that_does_not_answer_hides_nothing_else(kit: Kit) -> None:
    kit.publish("1", kit.lists(1))
    kit.push()
    kit.servers.control("POST", "faults", json={"kind": "status", "status": 500, "path": "/users/export/ids"})
    (found,) = explain(kit.name, list(kit.lists(1)))
    assert found.braze is None
    assert found.braze_problem
    assert found.items


def test_an_item_is_named_by_its_name_its_title_or_its_first_text() -> None:
    assert item_of("i", '{"title": "T", "name": "N"}').name == "N"
    assert item_of("i", '{"price": 1, "label": "L"}').name == "L"
    assert item_of("i", '{"price": 1}').name == ""


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
