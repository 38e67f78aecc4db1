"""Faults of whole requests and of single objects, and how often each fired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

TRACK = "/users/track"


NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."


Script = Callable[..., Any]


@pytest.fixture
def faulty(braze: Any) -> Iterator[Script]:
    """Return a function that scripts one fault for /users/track; delete all faults afterwards."""
    braze.call("DELETE", "/_local/faults/fired")

    def script(**fault: Any) -> Any:
        response = braze.post("/_local/faults", {"path": TRACK, **fault}, headers={})
        assert response.status_code == 200, response.text
        return braze

    yield script
    assert braze.call("DELETE", "/_local/faults").json() == {"faults": []}


def _users(user: str, number: int) -> list[dict[str, Any]]:
    return [{"external_id": f"{user}-{i}", "a": i} for i in range(number)]


def _held(braze: Any, user: str) -> set[int]:
    """Return the numbers of the users that are profiles once everything is applied."""
    braze.flush()
    page = braze.get(f"/_local/profiles?prefix={user}-&limit=1000").json()["profiles"]
    return {int(profile["external_id"].rpartition("-")[2]) for profile in page}


def _fired(braze: Any) -> dict[str, dict[str, int]]:
    return dict(braze.get("/_local/faults/fired").json()["fired"])


@pytest.mark.parametrize(
    ("hint", "present"),
    [
        ("classic", {"x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("mau", {"x-ratelimit-retry-after"}),
        ("retry-after", {"retry-after"}),
        ("none", set()),
    ],
)
def test_a_429_hints_in_every_dialect_or_not_at_all(
    faulty: Script, user: str, hint: str, present: set[str]
) -> None:
    response = faulty(kind="rate_limit", hint=hint, seconds=7).track(*_users(user, 1))
    assert response.status_code == 429
    hints = {name.lower(): value for name, value in response.headers.items() if "r" in name.lower()}
    named = {name for name in hints if "ratelimit" in name or name == "retry-after"}
    assert named == present
    if hint == "classic":
        assert 0 < int(hints["x-ratelimit-reset"]) - time.time() <= 8
    elif present:
        assert hints[present.pop()] == "7"


@pytest.mark.parametrize(("apply", "held"), [(True, {0}), (False, set())])
@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"kind": "status", "status": 503}, 503, '{"message":"fault injected by braze_local"}'),
        ({"kind": "status", "status": 504, "body": "<html>"}, 504, "<html>"),
        ({"kind": "html502"}, 502, "<html><body><h1>502 Bad Gateway</h1></body></html>\n"),
        ({"kind": "empty"}, 200, ""),
        ({"kind": "empty", "status": 201}, 201, ""),
        ({"kind": "queued"}, 202, '{"message":"queued"}'),
    ],
)
def test_an_answer_may_be_wrong_whether_applied_or_not(
    faulty: Script, user: str, fault: dict[str, Any], status: int, body: str, apply: bool, held: set[int]
) -> None:
    braze = faulty(apply=apply, **fault)
    response = braze.track(*_users(user, 1))
    assert (response.status_code, response.text) == (status, body)
    assert _held(braze, user) == held


@pytest.mark.parametrize(("apply", "held"), [(None, {0}), (False, set())])
def test_a_whole_answer_may_hold_half_a_body(
    faulty: Script, user: str, apply: bool | None, held: set[int]
) -> None:
    braze = faulty(kind="broken_json", apply=apply)
    response = braze.track(*_users(user, 1))
    assert response.status_code == 201
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()
    assert _held(braze, user) == held


@pytest.mark.parametrize("kind", ["truncate", "reset", "timeout"])
@pytest.mark.parametrize(("apply", "held"), [(True, {0}), (False, set())])
def test_a_connection_may_end_before_or_after_applying(
    faulty: Script, user: str, kind: str, apply: bool, held: set[int]
) -> None:
    braze = faulty(kind=kind, apply=apply, seconds=0.05)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        braze.track(*_users(user, 1))
    assert _held(braze, user) == held


def test_a_login_page_is_a_200_in_html(faulty: Script, user: str) -> None:
    response = faulty(kind="login_page").track(*_users(user, 1))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html"
    assert "/login" in response.text


def test_queued_gives_way_to_a_refusal(faulty: Script) -> None:
    assert faulty(kind="queued").track().status_code == 400


def test_what_takes_effect_may_do_so_late_and_overwrite_what_is_newer(faulty: Script, user: str) -> None:
    braze = faulty(kind="status", status=500, apply=True, delay_seconds=5)
    braze.track({"external_id": user, "a": "old"})
    braze.track({"external_id": user, "a": "new"})
    braze.flush()
    assert braze.custom(user) == {"a": "old"}


def test_a_rejected_object_is_named_and_not_applied(faulty: Script, user: str) -> None:
    braze = faulty(kind="reject", external_ids=[f"{user}-1"], error_type="EMAIL_BAD_FORMAT", times=None)
    answer = braze.track(*_users(user, 3)).json()
    assert answer == {
        "attributes_processed": 2,
        "message": "success",
        "errors": [{"type": "EMAIL_BAD_FORMAT", "input_array": "attributes", "index": 1}],
    }
    assert "errors" not in braze.track({"external_id": user, "a": 1}).json()
    assert _held(braze, user) == {0, 2}
    assert _fired(braze) == {"reject": {"calls": 1, "objects": 1}}


def test_an_object_may_be_named_once_per_attribute(faulty: Script, user: str) -> None:
    response = faulty(kind="reject", entries=2, external_ids=[f"{user}-1"]).track(*_users(user, 3))
    body = response.json()
    assert body["attributes_processed"] == 2
    assert [error["index"] for error in body["errors"]] == [1, 1]


@pytest.mark.parametrize("apply", [True, False])
def test_an_object_may_be_named_and_counted(faulty: Script, user: str, apply: bool) -> None:
    braze = faulty(kind="minor_error", external_ids=[f"{user}-1"], apply=apply, entries=2)
    body = braze.track(*_users(user, 3)).json()
    assert body["attributes_processed"] == 3
    assert [(error["input_array"], error["index"]) for error in body["errors"]] == [("attributes", 1)] * 2
    assert _held(braze, user) == ({0, 1, 2} if apply else {0, 2})


def test_a_call_of_bad_objects_only_is_a_400(faulty: Script, user: str) -> None:
    braze = faulty(kind="reject", object_probability=1)
    response = braze.track(*_users(user, 3))
    assert response.status_code == 400
    assert response.json()["message"] == NOTHING_VALID
    assert [error["index"] for error in response.json()["errors"]] == [0, 1, 2]
    assert _held(braze, user) == set()


def test_an_object_may_be_dropped_after_a_clean_answer(faulty: Script, user: str) -> None:
    braze = faulty(kind="drop", external_ids=[f"{user}-0", f"{user}-2", "someone else"])
    assert braze.track(*_users(user, 3)).json() == {"attributes_processed": 3, "message": "success"}
    assert _held(braze, user) == {1}
    assert _fired(braze) == {"drop": {"calls": 1, "objects": 2}}


def test_objects_may_be_dropped_by_chance(faulty: Script, user: str) -> None:
    runs = []
    for _ in range(2):
        braze = faulty(kind="drop", object_probability=0.5, seed=3, times=None, name="lost")
        braze.track(*_users(f"{user}-{len(runs)}", 60))
        braze.call("DELETE", "/_local/faults")
        runs.append(_held(braze, f"{user}-{len(runs)}"))
    assert runs[0] == runs[1]
    assert 0 < len(runs[0]) < 60
    assert _fired(braze)["lost"] == {"calls": 2, "objects": 2 * (60 - len(runs[0]))}


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        ("error_without_index", [{"type": "fault injected by braze_local"}]),
        (
            "error_out_of_range",
            [{"type": "fault injected by braze_local", "input_array": "attributes", "index": 3}],
        ),
        ("fewer_processed", None),
    ],
)
@pytest.mark.parametrize(("apply", "kept"), [(None, 2), (True, 3)])
def test_a_success_may_lie(
    faulty: Script, user: str, kind: str, entries: Any, apply: bool | None, kept: int
) -> None:
    braze = faulty(kind=kind, apply=apply, seed=1)
    response = braze.track(*_users(user, 3))
    assert response.status_code == 201
    assert response.json()["attributes_processed"] == 2
    assert response.json().get("errors") == entries
    assert len(_held(braze, user)) == kept


@pytest.mark.parametrize("status", [400, 500])
def test_a_call_with_a_poison_record_is_refused_as_a_whole(faulty: Script, user: str, status: int) -> None:
    faulty(kind="status", status=201, body={"message": "success"}, times=None)
    braze = faulty(
        status=status, body={"message": "Bad Request"}, external_ids=[f"{user}-1"], times=None, name="poison"
    )
    assert braze.track(*_users(user, 3)).status_code == status, "faults that name ids come first"
    assert braze.track({"external_id": f"{user}-0"}).status_code == 201
    assert braze.track({"external_id": f"{user}-1"}).status_code == status
    assert _held(braze, user) == set()
    assert _fired(braze)["poison"]["calls"] == 2


def test_faults_of_calls_and_of_objects_meet_in_one_call(faulty: Script, user: str) -> None:
    faulty(kind="drop", external_ids=[f"{user}-0"])
    faulty(kind="reject", external_ids=[f"{user}-1"])
    braze = faulty(kind="reset", apply=True)
    with pytest.raises(requests.ConnectionError):
        braze.track(*_users(user, 3))
    assert _held(braze, user) == {2}
    assert _fired(braze).keys() == {"drop", "reject", "reset-applied"}


def test_an_outage_spares_the_faults_of_objects(faulty: Script, user: str) -> None:
    faulty(kind="drop")
    braze = faulty(status=503)
    assert braze.track(*_users(user, 1)).status_code == 503
    assert [fault["kind"] for fault in braze.get("/_local/faults").json()["faults"]] == ["drop"]


def test_the_counts_of_what_fired_outlive_the_script(faulty: Script, user: str) -> None:
    braze = faulty(status=500, times=2)
    for _ in range(3):
        braze.track(*_users(user, 1))
    braze.call("DELETE", "/_local/faults")
    assert _fired(braze) == {"500": {"calls": 2, "objects": 0}}
    assert braze.call("DELETE", "/_local/faults/fired").json() == {"fired": {}}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "object_probability": 0.5},
        {"kind": "drop", "apply": True},
        {"kind": "drop", "object_probability": 2},
        {"kind": "rate_limit", "hint": "soon"},
    ],
)
def test_a_fault_that_contradicts_itself_is_refused(braze: Any, fault: dict[str, Any]) -> None:
    assert braze.post("/_local/faults", fault).status_code == 400
    assert braze.get("/_local/faults").json() == {"faults": []}


def test_a_fault_that_looks_for_ids_survives_a_body_that_is_not_json(faulty: Script) -> None:
    braze = faulty(status=500, external_ids=["u"])
    headers = {"Authorization": f"Bearer {braze.key}", "Content-Type": "application/json"}
    assert braze.post(TRACK, data=b"[", headers=headers).status_code == 400
    assert braze.post(TRACK, ["text"]).status_code == 400


def _statuses(braze: Any, user: str, number: int) -> list[int]:
    return [braze.track({"external_id": user, "a": 1}).status_code for _ in range(number)]


def test_a_fault_hits_so_many_requests_after_so_many(faulty: Script, user: str) -> None:
    assert _statuses(faulty(status=503, skip=1, times=2), user, 4) == [201, 503, 503, 201]


def test_faults_queue(faulty: Script, user: str) -> None:
    faulty(status=500)
    assert _statuses(faulty(status=429), user, 3) == [500, 429, 201]


def test_other_paths_are_spared(faulty: Script, user: str) -> None:
    braze = faulty(status=500)
    assert braze.get("/catalogs").status_code == 200
    assert _statuses(braze, user, 1) == [500]


def test_a_fault_may_have_its_own_body_and_headers(faulty: Script, user: str) -> None:
    braze = faulty(status=202, body={"message": "queued"}, headers={"X-Ratelimit-Retry-After": "7"})
    response = braze.track({"external_id": user})
    assert (response.status_code, response.json()) == (202, {"message": "queued"})
    assert response.headers["x-ratelimit-retry-after"] == "7"


@pytest.mark.parametrize(("apply", "exists"), [(True, 200), (False, 404)])
def test_a_failed_request_may_have_been_applied(faulty: Script, user: str, apply: bool, exists: int) -> None:
    braze = faulty(status=500, apply=apply)
    assert _statuses(braze, user, 1) == [500]
    braze.flush()
    assert braze.get(f"/_local/profiles/{user}").status_code == exists


def test_a_gateway_answers_in_html(faulty: Script, user: str) -> None:
    response = faulty(kind="html502").track({"external_id": user})
    assert response.status_code == 502
    assert response.headers["content-type"] == "text/html"
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_a_connection_can_be_reset(faulty: Script, user: str) -> None:
    braze = faulty(kind="reset")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        braze.track({"external_id": user})
    assert _statuses(braze, user, 1) == [201]


def test_an_answer_can_break_off_after_the_request_was_applied(faulty: Script, user: str) -> None:
    braze = faulty(kind="truncate")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        braze.track({"external_id": user})
    braze.flush()
    assert braze.get(f"/_local/profiles/{user}").status_code == 200


def test_an_answer_can_stay_away(faulty: Script, user: str) -> None:
    braze = faulty(kind="timeout", apply=True, times=2, seconds=0.2)
    with pytest.raises(requests.ConnectionError):
        braze.track({"external_id": user})
    faulty(kind="timeout")
    with pytest.raises(requests.ConnectionError):
        braze.track({"external_id": user})
    with pytest.raises(requests.ReadTimeout):
        requests.post(braze.url + TRACK, json={}, timeout=0.3)
    braze.flush()
    assert braze.get(f"/_local/profiles/{user}").status_code == 200


def test_chance_is_drawn_from_the_seed(faulty: Script, braze: Any, user: str) -> None:
    runs = []
    for _ in range(2):
        faulty(status=500, probability=0.5, seed=7, times=None)
        runs.append(_statuses(braze, user, 20))
        braze.call("DELETE", "/_local/faults")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {201, 500}


def test_the_meter_counts_faults_by_what_the_client_saw(faulty: Script, user: str) -> None:
    braze = faulty(kind="reset")
    braze.post("/_local/meter/reset")
    with pytest.raises(requests.ConnectionError):
        braze.track({"external_id": user})
    assert braze.meter()["requests"] == {TRACK: {"reset": 1}}


@pytest.mark.parametrize(
    "fault", [{"kind": "meteor"}, {"status": 99}, {"times": 0}, {"probability": 2}, {"colour": "red"}, "text"]
)
def test_a_fault_that_makes_no_sense_is_refused(braze: Any, fault: Any) -> None:
    assert braze.post("/_local/faults", fault).status_code == 400
    assert braze.get("/_local/faults").json() == {"faults": []}
