"""POST /users/export/ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def _export(braze: Any, *ids: str, fields: list[str] | None = None, **other: Any) -> Any:
    fields = ["external_id", "custom_attributes"] if fields is None else fields
    return braze.post("/users/export/ids", {"external_ids": ids, "fields_to_export": fields, **other})


def test_profiles_come_with_the_fields_asked_for(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1, "gone": 2, "last_name": "Doe"})
    braze.applied({"external_id": user, "gone": None})
    response = _export(braze, user)
    assert response.status_code == 201
    assert response.json() == {
        "users": [{"external_id": user, "custom_attributes": {"a": 1}}],
        "message": "success",
    }


def test_unknown_ids_are_listed(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1})
    body = _export(braze, "no-such-user", user, "no-such-user").json()
    assert body["invalid_user_ids"] == ["no-such-user"]
    assert [one["external_id"] for one in body["users"]] == [user]


def test_only_applied_state_is_exported(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": "old"})
    braze.track({"external_id": user, "a": "new"})
    assert _export(braze, user).json()["users"][0]["custom_attributes"] == {"a": "old"}
    braze.flush()
    assert _export(braze, user).json()["users"][0]["custom_attributes"] == {"a": "new"}


def test_at_most_50_ids(braze: Any) -> None:
    assert _export(braze, *(f"u{i}" for i in range(50))).status_code == 201
    assert _export(braze, *(f"u{i}" for i in range(51))).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"external_ids": ["u"]},
        {"fields_to_export": ["external_id"]},
        {"external_ids": "u", "fields_to_export": ["external_id"]},
        {"external_ids": ["u"], "fields_to_export": "external_id"},
        [],
    ],
)
def test_a_malformed_request_is_a_400(braze: Any, body: Any) -> None:
    assert braze.post("/users/export/ids", body).status_code == 400


def test_older_accounts_export_whole_profiles(start: Callable[..., Any]) -> None:
    braze = start("--optional-fields-to-export")
    braze.applied({"external_id": "u", "a": 1, "email": "u@example.com"})
    (profile,) = braze.post("/users/export/ids", {"email_address": "u@example.com"}).json()["users"]
    assert profile["appboy_id"] == profile["braze_id"]
    assert profile["external_id"] == "u"
    assert profile["custom_attributes"] == {"a": 1}
    assert 0 <= profile["random_bucket"] < 10_000
    assert profile["email_subscribe"] == "subscribed"
    assert profile["total_revenue"] == 0
