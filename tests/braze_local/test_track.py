"""/users/track, /users/track/bulk and /users/track/sync."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."


EVENT_TIME = "2026-01-05T10:00:00Z"


def _event(user: str, **other: Any) -> dict[str, Any]:
    return {"external_id": user, "name": "opened", "time": EVENT_TIME, **other}


def _purchase(user: str, **other: Any) -> dict[str, Any]:
    purchase = {"external_id": user, "product_id": "p1", "currency": "USD", "price": 2.5, "time": EVENT_TIME}
    return purchase | other


def test_counts_are_given_for_arrays_present(braze: Any, user: str) -> None:
    assert braze.track({"external_id": user, "a": 1}).json() == {
        "attributes_processed": 1,
        "message": "success",
    }
    answer = braze.track(events=[_event(user)], purchases=[_purchase(user)], attributes=[])
    assert answer.json() == {"events_processed": 1, "purchases_processed": 1, "message": "success"}


def test_attributes_events_and_purchases_reach_the_profile(braze: Any, user: str) -> None:
    braze.applied(
        {"external_id": user, "recs": ["a", "b"], "first_name": "Ann", "dob": "1990-02-03", "country": "us"},
        events=[_event(user), _event(user, time="2999-01-01T00:00:00Z")],
        purchases=[_purchase(user, quantity=2)],
    )
    profile = braze.profile(user)
    assert profile["custom_attributes"] == {"recs": ["a", "b"]}
    assert profile["first_name"] == "Ann"
    assert profile["dob"] == "1990-02-03T00:00:00.000Z"
    assert profile["country"] == "US"
    assert profile["custom_events"][0]["count"] == 2
    assert profile["custom_events"][0]["first"] == "2026-01-05T10:00:00.000Z"
    assert profile["custom_events"][0]["last"] < "2999", "a time in the future counts as now"
    assert profile["purchases"][0]["count"] == 2
    assert profile["total_revenue"] == pytest.approx(5)


def test_null_removes_and_an_empty_array_stays(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1, "b": ["x"]})
    braze.applied({"external_id": user, "a": None, "b": []})
    assert braze.custom(user) == {"b": []}


def test_merge_objects_steers_its_object_only(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "m": {"a": 1}, "n": {"a": 1}})
    braze.applied(
        {"external_id": user, "_merge_objects": True, "m": {"b": 2}}, {"external_id": user, "n": {"b": 2}}
    )
    assert braze.custom(user) == {"m": {"a": 1, "b": 2}, "n": {"b": 2}}


def test_a_partial_failure_names_array_and_index(braze: Any, user: str) -> None:
    response = braze.applied(
        {"external_id": user, "a": 1},
        {"a": 2},
        {"external_id": user, "email": "not an address"},
        events=[_event(user), _event(user, time="yesterday")],
        purchases=[_purchase(user, quantity=101)],
    )
    body = response.json()
    assert body["attributes_processed"] == 1
    assert body["events_processed"] == 1
    assert "purchases_processed" not in body
    assert body["message"] == "success"
    assert body["errors"] == [
        {
            "type": "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required",
            "input_array": "attributes",
            "index": 1,
        },
        {
            "type": "The value provided for the 'email' field is not a valid email.",
            "input_array": "attributes",
            "index": 2,
        },
        {"type": "'time' is not valid", "input_array": "events", "index": 1},
        {"type": "'quantity' is not valid", "input_array": "purchases", "index": 0},
    ]
    assert braze.custom(user) == {"a": 1}


@pytest.mark.parametrize(
    "candidate",
    [
        {"external_id": "u", "braze_id": "b"},
        {"external_id": "u", "user_alias": {"alias_name": "n", "alias_label": "l"}},
        {"external_id": ""},
        {"external_id": 5},
        {"external_id": "nul\x00l"},
        {"external_id": "é" * 494},
        {"user_alias": {"alias_name": "n"}},
        {"external_id": "u", "email_subscribe": "maybe"},
        "text",
        None,
    ],
)
def test_a_bad_object_alone_is_a_400(braze: Any, candidate: Any) -> None:
    response = braze.track(attributes=[candidate])
    assert response.status_code == 400
    assert response.json()["message"] == NOTHING_VALID
    assert [(e["input_array"], e["index"]) for e in response.json()["errors"]] == [("attributes", 0)]


@pytest.mark.parametrize("body", [{}, {"attributes": []}, {"attributes": {}}, [], "x", {"other": [1]}])
def test_nothing_valid_is_a_400(braze: Any, body: Any) -> None:
    response = braze.post("/users/track", body)
    assert response.status_code == 400
    assert response.json() == {"message": NOTHING_VALID}


def test_unknown_top_level_keys_are_tolerated(braze: Any, user: str) -> None:
    assert braze.applied({"external_id": user, "a": 1}, partner="Someone").json()["attributes_processed"] == 1
    assert braze.custom(user) == {"a": 1}


def test_update_existing_only_never_creates(braze: Any, user: str) -> None:
    only = {"external_id": user, "_update_existing_only": True, "a": 1}
    refused = braze.track(only, {"external_id": f"{user}-other", "a": 1})
    assert refused.json()["errors"] == [
        {"type": "external_id is not an existing user", "input_array": "attributes", "index": 0}
    ]
    assert braze.track({"external_id": user, "b": 1}).status_code == 201
    assert "errors" not in braze.track(only).json(), "a user on the way exists"
    braze.flush()
    assert braze.custom(user) == {"a": 1, "b": 1}


def test_missing_users_can_be_ignored_silently(start: Callable[..., Any]) -> None:
    braze = start("--missing-users", "ignore")
    response = braze.applied({"external_id": "nobody", "_update_existing_only": True, "a": 1})
    assert response.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.get("/_local/profiles/nobody").status_code == 404
    assert braze.meter()["missing_users"] == 1


def test_an_alias_creates_only_when_told_to(braze: Any, user: str) -> None:
    alias = {"alias_name": user, "alias_label": "test"}
    export = {"user_aliases": [alias], "fields_to_export": ["custom_attributes"]}
    refused = braze.track({"user_alias": alias, "a": 1})
    assert refused.json()["errors"][0]["type"] == "user_alias is not an existing user"
    braze.flush()
    assert braze.post("/users/export/ids", export).json()["invalid_user_ids"] == [alias]
    braze.applied(
        {"user_alias": alias, "_update_existing_only": False, "a": 1}, {"user_alias": alias, "b": 2}
    )
    assert braze.post("/users/export/ids", export).json()["users"] == [
        {"custom_attributes": {"a": 1, "b": 2}}
    ]


def test_email_and_braze_id_find_the_profile(braze: Any, user: str) -> None:
    email = f"{user}@example.com"
    braze.applied({"external_id": user, "email": email})
    braze_id = braze.profile(user)["braze_id"]
    braze.applied({"email": email, "a": 1}, {"braze_id": braze_id, "b": 2}, {"external_id": user, "c": 3})
    assert braze.custom(user) == {"a": 1, "b": 2, "c": 3}


def test_what_braze_drops_silently_is_dropped_after_a_clean_201(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "text": "old", "objects": [{"id": 1}]})
    big = [{"id": i, "text": "x" * 200} for i in range(600)]
    response = braze.applied({"external_id": user, "text": "x" * 256, "objects": big, "other": 1})
    assert response.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.custom(user) == {"text": "old", "objects": [{"id": 1}], "other": 1}


def test_accepted_writes_show_only_after_the_apply_delay(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "1")
    sent = time.monotonic()
    braze.track({"external_id": "late", "a": 1})
    while braze.get("/_local/profiles/late").status_code == 404:
        assert time.monotonic() - sent < 20
        time.sleep(0.02)
    # The lower bound is what the delay promises; how much later it shows is not measured.
    assert time.monotonic() - sent > 0.9


def test_one_object_over_the_limit_is_a_400(braze: Any, user: str) -> None:
    attributes = [{"external_id": f"{user}-{i}", "a": 1} for i in range(75)]
    assert braze.track(*attributes).json()["attributes_processed"] == 75
    refused = braze.track(*attributes, events=[_event(user)])
    assert refused.status_code == 400
    assert refused.json() == {"message": "Max Input Length Exceeded"}


def test_the_legacy_limit_is_per_array(start: Callable[..., Any]) -> None:
    braze = start("--object-limit", "per-array")
    attributes = [{"external_id": f"u{i}", "a": 1} for i in range(75)]
    assert braze.track(*attributes, events=[_event("u1")] * 75).status_code == 201
    assert braze.track(*attributes, {"external_id": "more"}).status_code == 400


BULK = "/users/track/bulk"


def _attributes(number: int, **more: Any) -> dict[str, Any]:
    return {"attributes": [{"external_id": f"u{i}", "a": 1, **more} for i in range(number)]}


def test_bulk_is_refused_until_it_is_opened(start: Callable[..., Any]) -> None:
    braze = start("--rate-limit-dialect", "none")
    assert braze.post(BULK, _attributes(1)).status_code == 404
    braze.adjust(bulk="403")
    assert braze.post(BULK, _attributes(1)).status_code == 403
    braze.adjust(bulk="open")
    assert braze.post(BULK, _attributes(1000)).json() == {"attributes_processed": 1000, "message": "success"}
    assert braze.post(BULK, _attributes(1001)).status_code == 400
    assert braze.post(BULK, _attributes(1000, filler="x" * 2100)).status_code == 413
    braze.flush()
    assert braze.get("/_local/profiles").json()["total"] == 1000


def test_bulk_takes_at_most_100_objects_per_user(start: Callable[..., Any]) -> None:
    braze = start("--bulk", "open")
    assert braze.post(BULK, {"attributes": [{"external_id": "u", "a": i} for i in range(100)]}).ok
    crowded = {"attributes": [{"external_id": "u", "a": i} for i in range(101)]}
    assert braze.post(BULK, crowded).status_code == 400


def test_bulk_has_its_own_limit_and_permission(start: Callable[..., Any]) -> None:
    braze = start("--bulk", "open", "--limit", "track-bulk=1/86400", keys=("test-key", "other:users.track"))
    assert braze.post(BULK, _attributes(1)).headers["x-ratelimit-limit"] == "1"
    assert braze.post(BULK, _attributes(1)).status_code == 429
    assert braze.track({"external_id": "u"}).status_code == 201
    braze.key = "other"
    assert braze.post(BULK, _attributes(1)).status_code == 403


def test_sync_applies_before_it_answers(braze: Any, user: str) -> None:
    answer = braze.post("/users/track/sync", {"attributes": [{"external_id": user, "a": 1}]})
    assert answer.status_code == 201
    assert answer.json() == {
        "users": [{"external_id": user, "custom_attributes": {"a": 1}}],
        "message": "success",
    }
    assert braze.custom(user) == {"a": 1}
    missing = {"external_id": f"{user}-x", "_update_existing_only": True, "a": 1}
    assert braze.post("/users/track/sync", {"attributes": [missing]}).json()["users"] == []
    two = {"attributes": [{"external_id": user, "a": 1}] * 2}
    assert braze.post("/users/track/sync", two).status_code == 400
    assert braze.post("/users/track/sync", {"attributes": [{"a": 1}]}).status_code == 400


def test_missing_users_can_be_taken_for_imported_ones(start: Callable[..., Any]) -> None:
    braze = start("--missing-users", "adopt", "--apply-delay-seconds", "600")
    only = {"_update_existing_only": True, "a": 1}
    alias = {"alias_name": "a", "alias_label": "test"}
    people = [{"external_id": "u"}, {"user_alias": alias}, {"email": "a@example.com"}]
    answer = braze.track(*(one | only for one in people), {"user_alias": alias, "b": 2})
    assert answer.json() == {"attributes_processed": 4, "message": "success"}
    assert braze.get("/_local/profiles?limit=1").json()["total"] == 3, "before the first write is applied"
    braze.flush()
    assert braze.custom("u") == {"a": 1}
    assert braze.track({"braze_id": "nobody", **only}).status_code == 400, "no import makes a braze_id"
