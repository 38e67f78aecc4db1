"""Users named by alias, braze_id, e-mail address and phone number, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PHONE = "+4915112345678"


def _alias(user: str) -> dict[str, str]:
    return {"alias_name": user, "alias_label": "shop"}


def _exported(braze: Any, **identifier: Any) -> list[dict[str, Any]]:
    body = {**identifier, "fields_to_export": ["external_id", "braze_id", "email", "custom_attributes"]}
    response = braze.post("/users/export/ids", body)
    assert response.status_code == 201, response.text
    users: list[dict[str, Any]] = response.json()["users"]
    return users


@pytest.fixture
def known(braze: Any, user: str) -> dict[str, Any]:
    """Return every identifier of one imported user, as an object of /users/track has it."""
    person = {"external_id": user, "email": f"{user}@Example.com", "phone": f"{PHONE}{user[5:]}"}
    alias = {"user_alias": _alias(user), "_update_existing_only": False}
    assert braze.post("/_local/profiles", [person, alias]).status_code == 201
    return {
        "external_id": user,
        "braze_id": braze.profile(user)["braze_id"],
        "email": f"{user}@eXAMPLE.com",
        "phone": person["phone"],
        "user_alias": _alias(user),
    }


@pytest.mark.parametrize("name", ["external_id", "braze_id", "email", "phone", "user_alias"])
def test_each_identifier_finds_its_user(braze: Any, known: dict[str, Any], name: str) -> None:
    answer = braze.applied({name: known[name], "_update_existing_only": True, "found_by": name})
    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    asked = {
        "external_id": {"external_ids": [known["external_id"]]},
        "user_alias": {"user_aliases": [known["user_alias"]]},
        "email": {"email_address": known["email"]},
    }.get(name, {name: known[name]})
    (profile,) = _exported(braze, **asked)
    assert profile["custom_attributes"] == {"found_by": name}
    assert ("external_id" in profile) == (name != "user_alias"), "the alias is another profile"


@pytest.mark.parametrize("name", ["external_id", "braze_id", "email", "phone", "user_alias"])
def test_an_unknown_user_is_reported_by_the_name_of_the_identifier(
    braze: Any, user: str, known: dict[str, Any], name: str
) -> None:
    unknown = _alias(f"{user}-2") if name == "user_alias" else "nobody@example.com"
    bad = {name: unknown, "_update_existing_only": True, "a": 1}
    response = braze.track(bad, {name: known[name], "_update_existing_only": True, "a": 1})
    assert response.status_code == 201
    assert response.json()["errors"] == [
        {"type": f"{name} is not an existing user", "input_array": "attributes", "index": 0}
    ]
    before = braze.get("/_local/profiles?limit=1").json()["total"]
    assert braze.track(bad).status_code == 400
    braze.flush()
    assert braze.get("/_local/profiles?limit=1").json()["total"] == before


def test_a_silent_service_creates_nobody_either(start: Callable[..., Any]) -> None:
    braze = start("--missing-users", "ignore", "--apply-delay-seconds", "0")
    only = {"_update_existing_only": True, "a": 1}
    people = [{"email": "a@example.com"}, {"phone": PHONE}, {"user_alias": _alias("a")}, {"braze_id": "b"}]
    assert braze.applied(*(one | only for one in people)).json()["attributes_processed"] == 4
    assert braze.get("/_local/profiles?limit=1").json()["total"] == 0
    assert braze.meter()["missing_users"] == 4


def test_an_address_makes_a_user_in_lower_case_and_costs_no_data_point(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "0")
    braze.applied({"email": "New@Example.com", "a": 1}, {"email": "NEW@example.com", "b": 2})
    (profile,) = _exported(braze, email_address="new@EXAMPLE.com")
    assert profile["email"] == "new@example.com"
    assert profile["custom_attributes"] == {"a": 1, "b": 2}
    assert braze.meter()["data_points"]["attributes"] == {"a": 1, "b": 1}
    assert braze.get("/_local/writes").json()["by_user"] == {profile["braze_id"]: 2}


def test_of_several_users_of_an_address_the_identified_one_is_written(braze: Any, user: str) -> None:
    email = f"{user}@example.com"
    braze.applied({"email": email, "a": 0})
    braze.applied({"external_id": user, "email": email.upper()})
    braze.applied({"email": email, "a": 1})
    assert braze.custom(user) == {"a": 1}
    assert len(_exported(braze, email_address=email)) == 2


def test_a_user_on_the_way_exists_by_every_identifier(braze: Any, user: str) -> None:
    email = f"{user}@example.com"
    assert braze.track({"external_id": user, "email": email}).status_code == 201
    assert "errors" not in braze.track({"email": email, "_update_existing_only": True, "a": 1}).json()
    braze.flush()
    assert braze.custom(user) == {"a": 1}


def test_a_deleted_user_is_unknown_by_every_identifier(braze: Any, known: dict[str, Any]) -> None:
    bodies: list[dict[str, Any]] = [
        {"email_addresses": [{"email": known["email"], "prioritization": ["most_recently_updated"]}]},
        {"user_aliases": [known["user_alias"]]},
    ]
    for body in bodies:
        assert braze.post("/users/delete", body).status_code == 201
    braze.flush()
    for name, value in known.items():
        assert braze.track({name: value, "_update_existing_only": True, "a": 1}).status_code == 400, name


def test_an_export_takes_one_address_or_number_at_a_time(braze: Any, known: dict[str, Any]) -> None:
    body = {"email_address": known["email"], "phone": known["phone"], "fields_to_export": ["braze_id"]}
    assert braze.post("/users/export/ids", body).status_code == 400


def test_a_fault_finds_a_user_by_any_identifier(braze: Any, known: dict[str, Any]) -> None:
    for name in ("email", "user_alias", "braze_id"):
        value = known[name]["alias_name"] if name == "user_alias" else known[name]
        fault = {"kind": "reject", "error_type": f"bad {name}", "external_ids": [value], "name": name}
        assert braze.post("/_local/faults", [fault]).status_code == 200
        answer = braze.track({"external_id": "somebody", "a": 1}, {name: known[name], "a": 1})
        assert [(one["type"], one["index"]) for one in answer.json()["errors"]] == [(f"bad {name}", 1)]
