"""Data points, unchanged writes, requests, writes per user and the request log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def metered(braze: Any) -> Any:
    braze.flush()
    braze.post("/_local/meter/reset")
    return braze


def test_data_points_are_counted_per_attribute(metered: Any, user: str) -> None:
    metered.applied(
        {
            "external_id": user,
            "flat": ["a", "b", "c"],
            "objects": [{"id": 1, "n": 2}, {"id": 2, "n": 3}],
            "nested": {"a": 1, "b": {"c": 2}},
            "first_name": "Ann",
            "email_subscribe": "opted_in",
        },
        events=[{"external_id": user, "name": "seen", "time": "2026-01-01"}],
    )
    metered.applied({"external_id": user, "flat": {"add": ["d", "e"]}, "nested": None})
    points = metered.meter()["data_points"]
    assert points["attributes"] == {
        "flat": 3,
        "objects": 4,
        "nested": 3,
        "first_name": 1,
        "email_subscribe": 0,
    }
    assert points["events"] == {"seen": 1}
    assert points["total"] == 12


def test_an_unchanged_write_costs_the_same_and_is_counted(metered: Any, user: str) -> None:
    for _ in range(3):
        metered.applied({"external_id": user, "recs": ["a", "b"]})
    report = metered.meter()
    assert report["data_points"]["attributes"] == {"recs": 3}
    assert report["unchanged_writes"] == {"total": 2, "attributes": {"recs": 2}}
    assert report["attribute_writes"]["total"] == 3


def test_dropped_writes_are_counted_with_the_reason_and_cost_nothing(metered: Any, user: str) -> None:
    metered.applied({"external_id": user, "text": "x" * 256})
    report = metered.meter()
    assert report["dropped_writes"]["attributes"] == {"text": {"string over 255 characters": 1}}
    assert report["data_points"]["total"] == 0


def test_requests_objects_and_bytes_are_counted_by_path(metered: Any, user: str) -> None:
    body = metered.track({"external_id": user}, {"a": 1}).request.body
    metered.post("/users/track", {})
    metered.get("/nowhere")
    metered.get("/catalogs/none/items")
    report = metered.meter()
    assert report["requests"] == {
        "/users/track": {"201": 1, "400": 1},
        "(unknown)": {"404": 1},
        "/catalogs/{name}/items": {"404": 1},
    }
    assert report["objects"]["/users/track"] == 2
    assert report["bytes"]["/users/track"] == len(body) + len(b"{}")
    assert report["pending_requests"] == 1


def test_the_log_tells_requests_without_bodies_or_keys(start: Callable[..., Any]) -> None:
    braze = start()
    sent = braze.track({"external_id": "u", "email": "someone@example.com"})
    (entry,) = braze.get("/_local/log").json()["requests"]
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "method": "POST",
        "path": "/users/track",
        "status": "201",
        "objects": 1,
        "bytes": len(sent.request.body),
    }
    assert "someone" not in braze.get("/_local/log").text
    assert braze.key not in braze.get("/_local/log").text


@pytest.fixture
def counted(braze: Any) -> Any:
    braze.flush()
    assert braze.call("DELETE", "/_local/writes").json() == {
        "users": 0,
        "writes": 0,
        "repeated": 0,
        "by_user": {},
    }
    return braze


def test_it_tells_how_often_each_user_was_written(counted: Any, user: str) -> None:
    one, two = f"{user}-1", f"{user}-2"
    counted.applied({"external_id": one, "a": 1}, {"external_id": two, "a": 1})
    counted.applied({"external_id": two, "a": 1})
    report = counted.get("/_local/writes").json()
    assert report == {"users": 2, "writes": 3, "repeated": 1, "by_user": {one: 1, two: 2}}
    assert counted.get("/_local/writes?min=2").json()["by_user"] == {two: 2}
    counted.post("/_local/meter/reset")
    assert counted.get("/_local/writes").json()["users"] == 0


def test_what_was_not_applied_was_not_written(counted: Any, user: str) -> None:
    counted.post("/_local/faults", {"kind": "drop", "external_ids": [f"{user}-1"]})
    counted.applied({"external_id": f"{user}-1", "a": 1}, {"external_id": f"{user}-2", "a": 1})
    assert counted.get("/_local/writes").json()["by_user"] == {f"{user}-2": 1}


def test_counting_can_be_switched_off(counted: Any, user: str) -> None:
    counted.call("PATCH", "/_local/settings", {"count_writes": False})
    counted.applied({"external_id": user, "a": 1})
    counted.call("PATCH", "/_local/settings", {"count_writes": True})
    assert counted.get("/_local/writes").json()["users"] == 0
