"""/users/export/ids and /users/delete."""

from __future__ import annotations

import signal
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


SECRET = "person-to-be-forgotten-4711"


def traces(braze: Any, text: str = SECRET) -> list[str]:
    """Return the files of the data directory that hold the text."""
    return [
        path.name for path in braze.data.rglob("*") if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_a_deleted_user_is_gone_and_the_others_stay(braze: Any, user: str) -> None:
    other = f"{user}-other"
    braze.applied({"external_id": user, "a": 1}, {"external_id": other, "a": 1})
    response = braze.post("/users/delete", {"external_ids": [user, f"{user}-unknown"]})
    assert (response.status_code, response.json()) == (201, {"deleted": 2, "message": "success"})
    assert braze.custom(user) == {"a": 1}, "accepted, not applied yet"
    braze.flush()
    answer = braze.post(
        "/users/export/ids", {"external_ids": [user, other], "fields_to_export": ["external_id"]}
    ).json()
    assert answer["users"] == [{"external_id": other}]
    assert answer["invalid_user_ids"] == [user]
    assert user not in braze.get("/_local/writes").json()["by_user"]


def test_what_is_applied_later_makes_a_new_profile(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1})
    braze.post("/users/delete", {"external_ids": [user]})
    braze.applied({"external_id": user, "b": 2})
    assert braze.custom(user) == {"b": 2}


def test_a_deleted_user_no_longer_counts_as_existing(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1})
    assert braze.track({"external_id": user, "a": 2, "_update_existing_only": True}).status_code == 201
    braze.post("/users/delete", {"external_ids": [user]})
    braze.flush()
    refused = braze.track({"external_id": user, "a": 3, "_update_existing_only": True})
    assert refused.status_code == 400


def test_every_kind_of_identifier_finds_its_profile(braze: Any, user: str) -> None:
    alias = {"alias_name": user, "alias_label": "deletion"}
    braze.applied(
        {"external_id": user, "a": 1},
        {"external_id": f"{user}-mail", "email": f"{user}@example.com"},
        {"user_alias": alias, "_update_existing_only": False, "a": 1},
    )
    braze_id = braze.profile(user)["braze_id"]
    order = ["identified", "most_recently_updated"]
    bodies = [
        {"braze_ids": [braze_id]},
        {"email_addresses": [{"email": f"{user}@example.com", "prioritization": order}]},
        {"user_aliases": [alias]},
    ]
    for body in bodies:
        assert braze.post("/users/delete", body).json()["deleted"] == 1
    braze.flush()
    found = braze.post(
        "/users/export/ids",
        {
            "external_ids": [user, f"{user}-mail"],
            "user_aliases": [alias],
            "fields_to_export": ["braze_id"],
        },
    ).json()
    assert found["users"] == []
    assert len(found["invalid_user_ids"]) == 3


def test_an_address_of_several_deletes_nobody_until_the_order_decides(braze: Any, user: str) -> None:
    email = f"{user}@example.com"
    braze.applied({"external_id": user, "email": email})
    braze.applied({"external_id": f"{user}-2", "email": email})

    def delete(*order: str) -> list[str]:
        body = {"email_addresses": [{"email": email, "prioritization": list(order)}]}
        assert braze.post("/users/delete", body).status_code == 201
        braze.flush()
        body = {"email_address": email, "fields_to_export": ["external_id"]}
        return [one["external_id"] for one in braze.post("/users/export/ids", body).json()["users"]]

    assert delete("identified") == [user, f"{user}-2"]
    assert delete("identified", "most_recently_updated") == [user]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"external_ids": []},
        {"external_ids": "u"},
        {"external_ids": [1]},
        {"external_ids": ["u"] * 51},
        {"external_ids": ["u"], "braze_ids": ["b"]},
        {"user_aliases": [{"alias_name": "n"}]},
        {"email_addresses": ["a@example.com"]},
        {"email_addresses": [{"email": "a@example.com", "prioritization": ["identified", "unidentified"]}]},
        {"phone_numbers": [{"phone": "1", "prioritization": ["newest"]}]},
    ],
)
def test_a_wrong_request_is_refused_whole(braze: Any, body: Any) -> None:
    assert braze.post("/users/delete", body).status_code == 400


def test_it_takes_its_own_permission_and_rate_limit(start: Callable[..., Any]) -> None:
    braze = start("--limit", "users=1/3600", keys=("test-key", "other:users.track"))
    body = {"external_ids": ["u"]}
    denied = braze.post("/users/delete", body, headers={"Authorization": "Bearer other"})
    assert denied.status_code in {401, 403}
    assert [braze.post("/users/delete", body).status_code for _ in range(2)] == [201, 429]


def test_no_byte_stays_after_a_flush(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "600")
    for round_number in range(3):
        others = ({"external_id": f"u{n}", "a": round_number, "b": ["x" * 50]} for n in range(70))
        braze.applied(*others, {"external_id": SECRET, "a": round_number, "list": [SECRET] * 5})
    braze.track({"external_id": SECRET, "waiting": True})
    braze.post(
        "/_local/faults", [{"kind": "drop", "path": "/x", "times": 1, "name": "fault-of-nobody"}]
    ).raise_for_status()
    assert traces(braze)
    assert braze.post("/users/delete", {"external_ids": [SECRET]}).status_code == 201
    braze.flush()
    assert traces(braze) == []
    for path in ("log", "writes", "profiles.ndjson", "meter", "attributes", "faults/fired"):
        assert SECRET not in braze.get(f"/_local/{path}").text
    assert braze.custom("u3") == {"a": 2, "b": ["x" * 50]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_byte_stays_after_a_stop_or_a_kill_and_restart(start: Callable[..., Any], number: int) -> None:
    braze = start("--apply-delay-seconds", "0")
    braze.applied({"external_id": SECRET, "list": [SECRET] * 5}, {"external_id": "u", "a": 1})
    assert braze.post("/users/delete", {"external_ids": [SECRET]}).status_code == 201
    while braze.get(f"/_local/profiles/{SECRET}").status_code == 200 or braze.meter()["pending_requests"]:
        pass
    braze.stop(number)
    again = start("--apply-delay-seconds", "0")
    again.flush()
    assert traces(again) == []
    assert again.custom("u") == {"a": 1}
