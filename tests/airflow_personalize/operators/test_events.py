"""Records streamed into the running local Personalize."""

from __future__ import annotations

import json

import pytest
from local_shop import exported
from operator_runs import call, run

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.operators import (
    PersonalizeCreateEventTrackerOperator,
    PersonalizePutEventsOperator,
    PersonalizePutItemsOperator,
    PersonalizePutUsersOperator,
)


@pytest.fixture(scope="module")
def tracker(shop):
    return run(PersonalizeCreateEventTrackerOperator, event_tracker_name="shop", dataset_group_arn=shop.group)


def test_events_items_and_users_are_put_once_however_often(account, shop, tracker):
    events = [
        {"userId": f"n{n % 3}", "eventType": "buy", "itemId": f"i{n}", "sentAt": 1_710_000_000 + n}
        for n in range(25)
    ]
    location = account.put("streamed/events.jsonl", "\n".join(map(json.dumps, events)))
    for _ in range(2):
        sent = call(PersonalizePutEventsOperator, event_tracker_arn=tracker, data_location=location)
        assert sent == {"records": 25, "requests": 3}
    items = [{"itemId": f"new{n}", "properties": {"category": "c9", "price": n}} for n in range(12)]
    sent = call(PersonalizePutItemsOperator, dataset_arn=shop.datasets["items"], records=items)
    assert sent == {"records": 12, "requests": 2}
    call(
        PersonalizePutUsersOperator,
        dataset_arn=shop.datasets["users"],
        records=[{"userId": "n1", "properties": json.dumps({"tier": "gold"})}],
    )
    rows = exported(account, shop, "interactions", "PUT", "streamed-events")
    assert len(rows) == 1 + len(events)
    assert len(exported(account, shop, "items", "PUT", "streamed-items")) == 1 + len(items)
    assert any("gold" in row for row in exported(account, shop, "users", None, "streamed-users"))


def test_a_folder_of_records_is_put_and_what_is_no_record_is_named(account, shop):
    for name, number in (("b", 2), ("a", 1)):
        account.put(f"folder/{name}.jsonl", json.dumps({"userId": f"f{number}"}) + "\n\n")
    into = {"dataset_arn": shop.datasets["users"]}
    sent = call(PersonalizePutUsersOperator, **into, data_location=account.location("folder/"))
    assert sent == {"records": 2, "requests": 1}
    for text, told in (("{}\nnonsense", "line 2 is not JSON"), ("[1]", "line 1 holds no JSON object")):
        location = account.put("broken.jsonl", text)
        with pytest.raises(PersonalizeFatalError, match=f"broken.jsonl, {told}"):
            call(PersonalizePutUsersOperator, **into, data_location=location)
    for nowhere in ("broken", "nothing/"):
        with pytest.raises(PersonalizeFatalError, match="There is no object at"):
            call(PersonalizePutUsersOperator, **into, data_location=account.location(nowhere))


def test_an_event_tracker_of_another_name_is_named_as_drift(shop, tracker, context):
    arn = run(
        PersonalizeCreateEventTrackerOperator,
        context,
        event_tracker_name="shop",
        dataset_group_arn=shop.group,
    )
    assert arn == tracker
    assert len(context["ti"].pushed["tracking_id"]) == 36
    with pytest.raises(PersonalizeFatalError, match='name: asked for "another", found "shop"'):
        run(PersonalizeCreateEventTrackerOperator, event_tracker_name="another", dataset_group_arn=shop.group)
