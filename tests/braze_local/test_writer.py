"""State after a stop, a kill and a restart."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

FIELDS = [{"name": "id", "type": "string"}, {"name": "name", "type": "string"}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean_and_loses_nothing(start: Callable[..., Any], number: int) -> None:
    braze = start("--apply-delay-seconds", "600")
    braze.post("/catalogs", {"catalogs": [{"name": "c", "fields": FIELDS}]})
    braze.call("PUT", "/catalogs/c/items", {"items": [{"id": "a", "name": "A"}]})
    braze.applied({"external_id": "u", "a": 1})
    braze.track({"external_id": "u", "b": 2})
    before = braze.meter()
    assert braze.stop(number) == 0

    again = start("--apply-delay-seconds", "600")
    assert again.meter() == before
    assert again.custom("u") == {"a": 1}
    assert again.get("/catalogs/c/items/a").json()["items"] == [{"id": "a", "name": "A"}]
    again.flush()
    assert again.custom("u") == {"a": 1, "b": 2}
    assert again.meter()["data_points"]["attributes"] == {"a": 1, "b": 1}


def test_a_kill_loses_at_most_the_last_second_and_tears_nothing(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "0")
    users = [f"u{i}" for i in range(75)]
    for number in range(30):
        braze.track(*({"external_id": user, "a": number, "b": number} for user in users))
    time.sleep(1)
    for number in range(30, 60):
        braze.track(*({"external_id": user, "a": number, "b": number} for user in users))
    braze.stop(signal.SIGKILL)

    again = start("--apply-delay-seconds", "0")
    again.flush()
    states = {tuple(again.custom(user).values()) for user in users}
    assert len(states) == 1, "every request is applied as a whole"
    ((a, b),) = states
    assert a == b >= 29
    meter = again.meter()["data_points"]
    assert meter["attributes"] == {"a": (a + 1) * 75, "b": (a + 1) * 75}


def test_a_kill_keeps_what_waits_for_its_delay(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "600")
    braze.track({"external_id": "u", "a": 1})
    time.sleep(1)
    braze.stop(signal.SIGKILL)
    again = start()
    assert again.meter()["pending_requests"] == 1
    again.flush()
    assert again.custom("u") == {"a": 1}


def test_odd_values_and_ids_are_kept_as_they_are(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "600", "--type-locks", "off")
    odd = {
        "quotes": 'a "b" \\ c',
        "control": "a\x00b\n\t\x1f",
        "unicode": "ä \u2028 \U0001f600",
        "big": 2**80,
        "small": 1e-300,
        "float": 0.1 + 0.2,
        "nested": {"k": {'"': [1.0, True, "\x00"]}},
        "empty": "",
        "list": [],
    }
    ids = ["plain", 'quo"te', "back\\slash", "be\x07ll", "ünï", "\u2028", "'", " "]
    for number in range(2):
        braze.applied(*({"external_id": one, "n": number, **odd} for one in ids))
        profiles = braze.get("/_local/profiles").json()["profiles"]
        assert {one["external_id"] for one in profiles} == set(ids)
        assert [one["custom_attributes"] for one in profiles] == [{"n": number, **odd}] * len(ids)
        shown = braze.post(
            "/users/export/ids", {"external_ids": ids, "fields_to_export": ["external_id", "total_revenue"]}
        ).json()
        assert [one["external_id"] for one in shown["users"]] == ids
        assert {one["total_revenue"] for one in shown["users"]} == {0.0}


def test_an_email_that_was_removed_finds_nobody(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "600")
    braze.applied({"external_id": "u", "email": "u@example.com"})
    braze.applied({"external_id": "u", "email": None})
    braze.applied({"email": "u@example.com", "_update_existing_only": True, "a": 1})
    assert braze.custom("u") == {}


def test_users_known_before_the_restart_exist(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "0")
    braze.track({"external_id": "u", "a": 1})
    braze.stop()
    again = start()
    again.flush()
    only = {"external_id": "u", "_update_existing_only": True, "a": 2}
    assert again.track(only, {**only, "external_id": "other"}).json()["errors"][0]["index"] == 1
