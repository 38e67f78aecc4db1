"""The control API under /_local: profiles and streams."""

from __future__ import annotations

import json
from typing import Any

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


def test_profiles_are_listed_by_pages_and_prefix(braze: Any, user: str) -> None:
    braze.applied(*({"external_id": f"{user}-{letter}", "a": letter} for letter in "abc"))
    page = braze.get(f"/_local/profiles?prefix={user}-&limit=2&offset=1").json()
    assert [one["external_id"] for one in page["profiles"]] == [f"{user}-b", f"{user}-c"]
    assert page["total"] == 3


def test_an_external_id_may_look_like_a_path(braze: Any, user: str) -> None:
    braze.applied({"external_id": f"{user}/ä b?", "a": 1})
    assert braze.profile(f"{user}%2F%C3%A4%20b%3F")["external_id"] == f"{user}/ä b?"


def test_unknown_control_paths_are_a_404(braze: Any) -> None:
    assert braze.get("/_local/nothing").status_code == 404


def test_people_are_imported_at_once_and_free(braze: Any, user: str) -> None:
    before = braze.meter()
    people = [{"external_id": f"{user}-{n}", "email": f"{user}-{n}@example.com"} for n in range(200)]
    response = braze.post("/_local/profiles", people)
    assert (response.status_code, response.json()) == (201, {"imported": 200})
    assert braze.get(f"/_local/profiles?prefix={user}-&limit=1").json()["total"] == 200
    assert braze.meter() == before
    assert "errors" not in braze.track({**people[0], "_update_existing_only": True, "a": 1}).json()


def test_a_bad_import_imports_nobody(braze: Any, user: str) -> None:
    response = braze.post("/_local/profiles", [{"external_id": user}, {"email": "no address"}])
    assert response.status_code == 400
    assert "object 1" in response.json()["message"]
    assert braze.post("/_local/profiles", {"external_id": user}).status_code == 400
    assert braze.get(f"/_local/profiles/{user}").status_code == 404
