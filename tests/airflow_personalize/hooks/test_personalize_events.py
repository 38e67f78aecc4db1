"""PersonalizeEventsHook: batches, sessions, ids that make a repeated put harmless, refusals."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks import personalize_runtime
from airflow_personalize.hooks.personalize_runtime import (
    PUT_ACTION_INTERACTIONS,
    PUT_ACTIONS,
    PUT_EVENTS,
    PUT_ITEMS,
    PUT_USERS,
    PersonalizeEventsHook,
    Put,
)

DATASET = "arn:aws:personalize:eu-west-1:123456789012:dataset/shop/ITEMS"


@pytest.fixture
def hook(rest_json_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", rest_json_server.connection("personalize-events"))
    return PersonalizeEventsHook()


def items(count: int) -> list[dict[str, Any]]:
    return [{"itemId": f"i{n}", "properties": {"price": n}} for n in range(count)]


def test_ten_records_a_call_and_properties_as_text(hook, rest_json_server):
    sent = hook.put(PUT_ITEMS, DATASET, items(21), requests_per_second=1000)
    assert (sent.records, sent.requests) == (21, 3)
    bodies = [body for path, body in rest_json_server.calls]
    assert [len(body["items"]) for body in bodies] == [10, 10, 1]
    assert {body["datasetArn"] for body in bodies} == {DATASET}
    assert json.loads(bodies[2]["items"][0]["properties"]) == {"price": 20}


@pytest.mark.parametrize(
    ("operation", "path", "record"),
    [
        (PUT_ITEMS, "/items", {"itemId": "i"}),
        (PUT_USERS, "/users", {"userId": "u"}),
        (PUT_ACTIONS, "/actions", {"actionId": "a"}),
        (PUT_EVENTS, "/events", {"userId": "u", "eventType": "buy", "sentAt": 1_700_000_000}),
        (
            PUT_ACTION_INTERACTIONS,
            "/action-interactions",
            {"userId": "u", "actionId": "a", "eventType": "Taken", "timestamp": 1_700_000_000},
        ),
    ],
)
def test_each_operation_has_its_members(hook, rest_json_server, operation: Put, path: str, record):
    hook.put(operation, "there", [{**record, "properties": None}])
    ((called, body),) = rest_json_server.calls
    assert called == path
    assert body[operation.owner] == "there"
    assert record.items() <= {**body[operation.records][0], "userId": "u"}.items()


def test_a_call_of_events_is_for_one_session_in_the_order_of_its_events(hook, rest_json_server):
    events = [
        {"userId": f"u{n % 2}", "sessionId": f"s{n % 2}", "eventType": "view", "itemId": f"i{n}", "sentAt": n}
        for n in range(24)
    ]
    sent = hook.put(PUT_EVENTS, "tracker", iter(events))
    assert (sent.records, sent.requests) == (24, 4)
    bodies = [body for _, body in rest_json_server.calls]
    assert [(body["userId"], body["sessionId"], len(body["eventList"])) for body in bodies] == [
        ("u0", "s0", 10),
        ("u1", "s1", 10),
        ("u0", "s0", 2),
        ("u1", "s1", 2),
    ]
    assert [each["itemId"] for each in bodies[0]["eventList"]] == [f"i{n}" for n in range(0, 20, 2)]


def test_an_event_without_session_or_id_gets_both_the_same_each_time(hook, rest_json_server):
    event = {"userId": "u", "eventType": "buy", "itemId": "i", "sentAt": 1_700_000_000}
    hook.put(PUT_EVENTS, "tracker", [event, {**event, "itemId": "j"}])
    hook.put(PUT_EVENTS, "tracker", [event, {**event, "eventId": "mine", "sessionId": "s"}])
    first, second, third = (body for _, body in rest_json_server.calls)
    assert first["sessionId"] == second["sessionId"] == "u"
    ids = [each["eventId"] for each in first["eventList"]]
    assert len(set(ids)) == 2
    assert second["eventList"][0]["eventId"] == ids[0]
    assert (third["sessionId"], third["eventList"][0]["eventId"]) == ("s", "mine")


def test_sessions_kept_back_are_few(hook, rest_json_server, monkeypatch):
    monkeypatch.setattr(personalize_runtime, "OPEN_SESSIONS", 2)
    events = [{"userId": f"u{n}", "eventType": "view", "sentAt": n} for n in range(4)]
    consumed: list[int] = []

    def source():
        for n, event in enumerate(events):
            consumed.append(n)
            yield event

    assert hook.put(PUT_EVENTS, "tracker", source()).requests == 4
    assert [body["userId"] for _, body in rest_json_server.calls] == ["u0", "u1", "u2", "u3"]


def test_a_refused_call_names_its_records_by_position_only(hook, rest_json_server):
    rest_json_server.on(
        "/items", (200, {}), rest_json_server.refusal("InvalidInputException", "No such property.")
    )
    with pytest.raises(
        PersonalizeFatalError, match=r"Cannot put records 11, 12 of items: .*No such property"
    ) as raised:
        hook.put(PUT_ITEMS, DATASET, items(12), requests_per_second=1000)
    assert "i11" not in str(raised.value)


def test_with_a_callback_only_refused_records_are_left_out(hook, rest_json_server):
    def answer(body):
        ids = [each["itemId"] for each in body["items"]]
        bad = [one for one in ids if one in {"i3", "i11"}]
        return rest_json_server.refusal("InvalidInputException", f"Bad {bad[0]}.") if bad else (200, {})

    rest_json_server.on("/items", answer)
    refused = {}
    sent = hook.put(
        PUT_ITEMS, DATASET, items(12), requests_per_second=1000, on_refused=refused.__setitem__, connections=3
    )
    assert refused == {4: "Bad i3.", 12: "Bad i11."}
    assert (sent.records, sent.refused) == (10, 2)
    taken = [
        body for _, body in rest_json_server.calls if not {"i3", "i11"} & {e["itemId"] for e in body["items"]}
    ]
    assert sorted(each["itemId"] for body in taken for each in body["items"]) == sorted(
        f"i{n}" for n in range(12) if n not in {3, 11}
    )
    assert sent.bytes == sum(len(json.dumps(body)) for body in taken)


def test_another_refusal_is_an_error_with_a_callback_too(hook, rest_json_server):
    rest_json_server.on("/items", rest_json_server.refusal("AccessDeniedException", "No.", 403))
    with pytest.raises(PersonalizeFatalError, match="AccessDeniedException"):
        hook.put(PUT_ITEMS, DATASET, items(40), connections=2, on_refused=lambda *_: None)


def test_calls_slow_down_after_a_throttled_one_unless_the_connection_says_otherwise(hook, monkeypatch):
    assert hook.conn.meta.config.retries["mode"] == "adaptive"
    connection = json.loads(os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    connection["extra"]["config_kwargs"] = {"retries": {"mode": "standard", "max_attempts": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    assert PersonalizeEventsHook().conn.meta.config.retries["mode"] == "standard"


def test_a_busy_dataset_is_worth_a_retry(hook, rest_json_server):
    rest_json_server.on("/users", rest_json_server.refusal("ResourceInUseException", "Being updated.", 409))
    with pytest.raises(PersonalizeRetriableError, match="Being updated"):
        hook.put(PUT_USERS, DATASET, [{"userId": "u"}])


def test_no_records_make_no_call(hook, rest_json_server):
    assert hook.put(PUT_ITEMS, DATASET, []).requests == 0
    assert rest_json_server.calls == []
