"""PutEvents, PutItems, PutUsers, PutActions and PutActionInteractions: what they take, refuse and store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

NOW = 1_700_100_000  # after every interaction of the sample rows


@pytest.fixture(scope="module")
def stream(live: Any) -> Any:
    """Return a filled dataset group to stream to, which no other module reads."""
    return type(live)(live.world).fill()


def test_an_event_becomes_a_row_of_interactions(stream: Any) -> None:
    stream.put_event(
        "anna",
        "i7",
        eventValue=2.5,
        impression=["i7", "i8"],
        properties=json.dumps({"deviceType": "phone"}),
        recommendationId="RID-1",
        metricAttribution={"eventAttributionSource": "mail"},
    )
    (row,) = [line for line in stream.exported("Interactions") if line.startswith(("anna", '"anna"'))]
    assert row.replace('"', "").split(",") == ["anna", "i7", "buy", "2.5", "i7|i8", "phone", str(NOW)]


def test_without_a_user_the_session_stands_for_him(stream: Any) -> None:
    stream.events.put_events(
        trackingId=stream.tracking_id,
        sessionId="session-of-nobody",
        eventList=[{"eventType": "view", "sentAt": NOW, "properties": '{"itemId": "i9"}'}],
    )
    assert any("session-of-nobody" in line and "i9" in line for line in stream.exported("Interactions"))


def test_an_event_id_counts_once(stream: Any) -> None:
    for item in ("i1", "i2"):
        stream.put_event("once", item, eventId="the-same")
    stream.exported("Interactions")  # moves the rows out of the log
    stream.put_event("once", "i3", eventId="the-same")
    stream.put_event("once", "i4", eventId="another")
    rows = [line for line in stream.exported("Interactions") if "once" in line]
    assert sorted(row.replace('"', "").split(",")[1] for row in rows) == ["i1", "i4"]


def test_streamed_rows_stay_when_bulk_rows_are_replaced(stream: Any) -> None:
    stream.put_event("stays", "i1")
    header = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,IMPRESSION,DEVICE_TYPE,TIMESTAMP\n"
    rows = "".join(f"u{n % 40},i{n % 50},buy,,,,{1_700_000_000 + n}\n" for n in range(1000))
    stream.world.import_csv(stream.datasets["Interactions"], header + rows)
    assert len(stream.exported("Interactions", "BULK")) == 1000
    assert any("stays" in line for line in stream.exported("Interactions"))


def test_many_small_calls_make_few_files(stream: Any, fast_server: Any) -> None:
    for number in range(8):
        stream.put_event(f"small-{number}", "i1")
        stream.exported("Interactions")
    dataset = fast_server.service._store.get(stream.datasets["Interactions"])
    assert len(dataset.internal["put_parts"]) == 1


def test_put_records_take_the_place_of_rows_with_their_id(stream: Any) -> None:
    item = {"categoryL1": "new|all", "price": "3.25", "creationTimestamp": NOW}
    stream.events.put_items(
        datasetArn=stream.datasets["Items"],
        items=[{"itemId": "i3", "properties": json.dumps(item)}, {"itemId": "bare"}],
    )
    stream.events.put_users(
        datasetArn=stream.datasets["Users"], users=[{"userId": "anna", "properties": '{"age": 30}'}]
    )
    stream.events.put_users(
        datasetArn=stream.datasets["Users"], users=[{"userId": "anna", "properties": '{"age": 31}'}]
    )
    items = {line.replace('"', "").split(",")[0]: line for line in stream.exported("Items", "ALL")}
    assert len(items) == 51
    assert items["i3"].replace('"', "").split(",")[1:] == ["new|all", "3.25", str(NOW)]
    assert items["bare"].replace('"', "").split(",")[1:] == ["", "", ""]
    assert [line.replace('"', "") for line in stream.exported("Users", "ALL")] == ["anna,31"]


EVENT = {"eventType": "buy", "sentAt": NOW, "itemId": "i1"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"properties": "{no json"}, "Error parsing properties json"),
        ({"properties": "[1]"}, "Error parsing properties json"),
        ({"properties": '{"noSuchField": 1}'}, "noSuchField"),
        ({"properties": '{"device_type": "x"}'}, "device_type"),
        ({"properties": '{"deviceType": 5}'}, "DEVICE_TYPE is not of type string"),
        ({"properties": '{"eventValue": "much"}'}, "EVENT_VALUE is not of type float"),
        ({"properties": '{"USERID": "x"}'}, "must not have the keys USERID"),
        ({"properties": '{"eventtype": "x"}'}, "must not have the keys eventtype"),
        ({"properties": json.dumps({"deviceType": "x" * 1010})}, "less than or equal to 1024"),
        ({"properties": json.dumps({"deviceType": "x" * 1001})}, "more than 1000 characters"),
        ({"properties": f'{{"eventValue": 1{"0" * 400}}}'}, "EVENT_VALUE is not of type float"),
        ({"itemId": "i" * 257}, "less than or equal to 256"),
        ({"recommendationId": "r" * 41}, "less than or equal to 40"),
        ({"impression": ["i"] * 26}, "less than or equal to 25"),
        ({"metricAttribution": {"eventAttributionSource": "é"}}, "regular expression"),
        ({"impression": ["i" * 256] * 25, "eventId": "e" * 256, "eventType": "ü" * 256}, None),
    ],
)
def test_an_event_that_breaks_a_rule_refuses_the_whole_call(
    stream: Any, refused: Callable[..., Any], change: dict[str, Any], part: str | None
) -> None:
    call = {"trackingId": stream.tracking_id, "sessionId": "s", "userId": "refused"}
    if part is None:
        stream.events.put_events(**call, eventList=[{**EVENT, **change}])
        return
    error = refused(stream.events.put_events, **call, eventList=[EVENT, {**EVENT, **change}])
    assert (error.code, error.http_status) == ("InvalidInputException", 400)
    assert part in error.message


def test_calls_that_break_a_rule_are_refused(stream: Any, refused: Callable[..., Any]) -> None:
    put = stream.events.put_events
    error = refused(put, trackingId=stream.tracking_id, sessionId="s", eventList=[EVENT] * 11)
    assert "less than or equal to 10" in error.message
    without_item = {key: value for key, value in EVENT.items() if key != "itemId"}
    error = refused(put, trackingId=stream.tracking_id, sessionId="s", eventList=[without_item])
    assert "itemId is required" in error.message
    error = refused(put, trackingId="no-such-tracker", sessionId="s", eventList=[EVENT])
    assert (error.code, error.http_status) == ("InvalidInputException", 400)
    items = [{"itemId": "i1"}]
    unknown = refused(
        stream.events.put_items, datasetArn=stream.datasets["Items"].replace("ITEMS", "NOPE"), items=items
    )
    assert (unknown.code, unknown.http_status) == ("ResourceNotFoundException", 404)
    wrong = refused(stream.events.put_items, datasetArn=stream.datasets["Users"], items=items)
    assert (wrong.code, wrong.http_status) == ("InvalidInputException", 400)
    for price in ('{"price": true}', '{"price": "NaN"}'):
        bad = [{"itemId": "i1", "properties": price}]
        error = refused(stream.events.put_items, datasetArn=stream.datasets["Items"], items=bad)
        assert "PRICE is not of type float" in error.message


def test_a_dataset_that_is_being_deleted_is_in_use(
    start_server: Callable[..., Any], make_live: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    server = start_server(time_scale=0.05)
    live = make_live(server.url)
    group = live.world.group()
    dataset = live.world.dataset(group, USERS)
    server.close()
    live = make_live(start_server(time_scale=60).url)
    live.personalize.delete_dataset(datasetArn=dataset)
    error = refused(live.events.put_users, datasetArn=dataset, users=[{"userId": "a"}])
    assert (error.code, error.http_status) == ("ResourceInUseException", 409)


USERS = {
    "type": "record",
    "name": "Users",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["null", "int"]}],
}
ACTIONS = {
    **USERS,
    "name": "Actions",
    "fields": [{"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}],
}
ACTION_INTERACTIONS = {
    **USERS,
    "name": "ActionInteractions",
    "fields": [{"name": name, "type": "string"} for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE")]
    + [{"name": "TIMESTAMP", "type": "long"}],
}


def test_actions_have_a_tracking_id_of_their_own(stream: Any, refused: Callable[..., Any]) -> None:
    world = stream.world
    for kind, record, name in (
        ("Actions", ACTIONS, "Actions"),
        ("ActionInteractions", ACTION_INTERACTIONS, "Action_Interactions"),
    ):
        arn = stream.personalize.create_dataset(
            name=world.name("dataset"),
            schemaArn=world.schema(record),
            datasetGroupArn=stream.group,
            datasetType=name,
        )["datasetArn"]
        world.wait("Dataset", arn)
        stream.datasets[kind] = arn
    tracking_id = world.describe("Dataset", stream.datasets["ActionInteractions"])["trackingId"]
    assert tracking_id != stream.tracking_id
    stream.events.put_actions(
        datasetArn=stream.datasets["Actions"], actions=[{"actionId": "join", "properties": '{"value": 9}'}]
    )
    taken = {"actionId": "join", "userId": "u1", "sessionId": "s", "timestamp": NOW, "eventType": "taken"}
    put = stream.events.put_action_interactions
    put(trackingId=tracking_id, actionInteractions=[{**taken, "eventId": "1"}, {**taken, "eventId": "1"}])
    assert [line.replace('"', "") for line in stream.exported("Actions", "ALL")] == ["join,9"]
    rows = [line.replace('"', "") for line in stream.exported("ActionInteractions", "ALL")]
    assert rows == [f"u1,join,Taken,{NOW}"]
    error = refused(put, trackingId=tracking_id, actionInteractions=[{**taken, "eventType": "seen"}])
    assert "Taken" in error.message
    error = refused(put, trackingId=stream.tracking_id, actionInteractions=[taken])
    assert (error.code, error.http_status) == ("ResourceNotFoundException", 404)
