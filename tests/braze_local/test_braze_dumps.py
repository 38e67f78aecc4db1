"""Everything at once: streamed profiles and items, and who was written how often."""

from __future__ import annotations

import json
from typing import Any

import pytest

FIELDS = [{"name": "id", "type": "string"}, {"name": "name", "type": "string"}]


def _lines(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200
    return [json.loads(line) for line in response.text.splitlines()]


def test_every_profile_is_streamed(braze: Any, user: str) -> None:
    sent = [{"external_id": f"{user}-{i:04}", "recs": ["a", str(i)]} for i in range(2500)]
    for first in range(0, 2500, 75):
        braze.track(*sent[first : first + 75])
    braze.flush()
    streamed = _lines(braze.get(f"/_local/profiles.ndjson?prefix={user}-"))
    assert streamed == [
        {"external_id": one["external_id"], "custom_attributes": {"recs": one["recs"]}} for one in sent
    ]
    everything = _lines(braze.get("/_local/profiles.ndjson"))
    assert len(everything) == braze.get("/_local/profiles?limit=1").json()["total"]
    (whole,) = _lines(braze.get(f"/_local/profiles.ndjson?prefix={user}-0007&whole=true"))
    assert whole == braze.profile(f"{user}-0007")


def test_no_profiles_are_no_lines(braze: Any, user: str) -> None:
    assert _lines(braze.get(f"/_local/profiles.ndjson?prefix={user}-none")) == []


def test_every_item_is_streamed(braze: Any, catalog_name: str) -> None:
    braze.post("/catalogs", {"catalogs": [{"name": catalog_name, "fields": FIELDS}]})
    items = [{"id": f"i{i:03}", "name": "x"} for i in range(120)]
    for first in range(0, 120, 50):
        braze.call("PUT", f"/catalogs/{catalog_name}/items", {"items": items[first : first + 50]})
    braze.flush()
    assert _lines(braze.get(f"/_local/items.ndjson?catalog={catalog_name}")) == items
    assert braze.get("/_local/items.ndjson?catalog=none").status_code == 404


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
