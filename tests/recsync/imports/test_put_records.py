"""Rows of CSV as records of the Put operations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recsync.imports.put_records import ObjectRecords, RecordMaker, Unsendable, camel_case
from recsync.program import DatasetType
from recsync.program.avro import AvroSchema

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FIELDS: dict[DatasetType, list[dict[str, Any]]] = {
    EVENTS: [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "IMPRESSION", "type": ["null", "string"]},
        {"name": "EVENT_ATTRIBUTION_SOURCE", "type": ["null", "string"]},
        {"name": "STORE_SIZE", "type": ["null", "int"]},
    ],
    ITEMS: [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
        {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    ],
}


def schema(kind: DatasetType, leave_out: tuple[str, ...] = ()) -> AvroSchema:
    fields = [field for field in FIELDS[kind] if field["name"] not in leave_out]
    record = {"type": "record", "name": kind.folder.title(), "version": "1.0", "fields": fields}
    return AvroSchema.parse(json.dumps({**record, "namespace": "com.amazonaws.personalize.schema"}), kind)


def maker(kind: DatasetType, *leave_out: str) -> RecordMaker:
    found = schema(kind, leave_out)
    return RecordMaker(kind, found, found.columns)


def record(row: str, kind: DatasetType = EVENTS, *leave_out: str) -> dict[str, Any]:
    found = maker(kind, *leave_out).record(row.encode())
    assert isinstance(found, dict)
    return found


def test_an_event_has_the_members_of_the_api_and_no_empty_ones() -> None:
    found = record('u1,"a ""quoted\\" item",1700000000,buy,2.5,i1|i2,shop/a,3'.replace('""', '\\"'))
    assert found.pop("eventId")
    assert found == {
        "userId": "u1",
        "itemId": 'a "quoted" item',
        "sentAt": 1_700_000_000,
        "eventType": "buy",
        "eventValue": 2.5,
        "impression": ["i1", "i2"],
        "metricAttribution": {"eventAttributionSource": "shop/a"},
        "properties": '{"storeSize": 3}',
    }
    assert record("u1,i1,1700000000,buy,,,,").keys() == {
        "userId", "itemId", "sentAt", "eventType", "eventId"
    }  # fmt: skip


def test_the_event_id_is_the_rows_content() -> None:
    row = "u1,i1,1700000000,buy,2.5,,,"
    assert record(row)["eventId"] == record(row)["eventId"]
    others = ("u1,i1,1700000001,buy,2.5,,,", "u1,i1,1700000000,buy,2.6,,,", "u1,i1,1700000000,buy,2.5,,,4")
    assert len({record(each)["eventId"] for each in (row, *others)}) == 4


def test_without_a_column_of_types_events_get_one_that_the_service_drops() -> None:
    assert record("u1,i1,17,2.5,,,", EVENTS, "EVENT_TYPE")["eventType"] == "interaction"


def test_an_item_is_its_id_and_properties_in_camel_case() -> None:
    assert record("i1,fruit|red,17", ITEMS) == {
        "itemId": "i1",
        "properties": '{"category": "fruit|red", "creationTimestamp": 17}',
    }
    assert record("i1,,", ITEMS) == {"itemId": "i1"}
    assert [camel_case(name) for name in ("GENRES", "genres", "LONG_NAME_2")] == [
        "genres",
        "genres",
        "longName2",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("u1,i1,1700000000,,2.5,,,", "PutEvents needs eventType"),
        (",i1,1700000000,buy,2.5,,,", "PutEvents needs userId"),
        (f"{'u' * 257},i1,1700000000,buy,2.5,,,", "userId has over 256 characters"),
        (f"u1,i1,17,buy,,{'|'.join(map(str, range(26)))},,", "at most 25 items of an impression"),
        ("u1,i1,not a number,buy,,,,", "does not fit its schema"),
        ("u1,i1", "does not fit its schema"),
    ],
)
def test_a_row_that_no_call_takes_has_a_reason_without_values(row: str, reason: str) -> None:
    found = maker(EVENTS).record(row.encode())
    assert isinstance(found, Unsendable)
    assert reason in found.reason
    assert "not a number" not in found.reason


def test_a_row_that_is_no_unicode_is_refused_and_not_quoted() -> None:
    found = maker(EVENTS).record(b"u\xff1,i1,1700000000,buy,2.5,,,")
    assert found == Unsendable("the row does not fit its schema")


def test_an_object_goes_on_after_the_rows_that_are_done() -> None:
    text = "ITEM_ID,CATEGORY,CREATION_TIMESTAMP\ni1,a,1\n,b,2\ni3,c,3\ni4,d,4\n"
    found = ObjectRecords(ITEMS, schema(ITEMS), [text[:50].encode(), text[50:].encode()])
    rows = found.after(1)
    assert [(number, each["itemId"]) for number, each in rows] == [(3, "i3"), (4, "i4")]
    assert found.read == 4
    assert found.taken_out(2) == {2: "ITEM_ID is empty"}
    assert found.taken_out(4) == {}
    assert list(ObjectRecords(ITEMS, schema(ITEMS), [text.encode()]).after(4)) == []
