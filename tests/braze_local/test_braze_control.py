"""The control API under /_local, and scripted faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

TRACK = "/users/track"


@pytest.fixture
def faulty(braze: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that scripts one fault for /users/track; forget all of them afterwards."""

    def script(**fault: Any) -> Any:
        response = braze.post("/_local/faults", {"path": TRACK, **fault}, headers={})
        assert response.status_code == 200, response.text
        return braze

    yield script
    assert braze.call("DELETE", "/_local/faults").json() == {"faults": []}


def _statuses(braze: Any, user: str, number: int) -> list[int]:
    return [braze.track({"external_id": user, "a": 1}).status_code for _ in range(number)]


def test_a_fault_hits_so_many_requests_after_so_many(faulty: Callable[..., Any], user: str) -> None:
    assert _statuses(faulty(status=503, skip=1, times=2), user, 4) == [201, 503, 503, 201]


def test_faults_queue(faulty: Callable[..., Any], user: str) -> None:
    faulty(status=500)
    assert _statuses(faulty(status=429), user, 3) == [500, 429, 201]


def test_other_paths_are_spared(faulty: Callable[..., Any], user: str) -> None:
    braze = faulty(status=500)
    assert braze.get("/catalogs").status_code == 200
    assert _statuses(braze, user, 1) == [500]


def test_a_fault_may_have_its_own_body_and_headers(faulty: Callable[..., Any], user: str) -> None:
    braze = faulty(status=202, body={"message": "queued"}, headers={"X-Ratelimit-Retry-After": "7"})
    response = braze.track({"external_id": user})
    assert (response.status_code, response.json()) == (202, {"message": "queued"})
    assert response.headers["x-ratelimit-retry-after"] == "7"


@pytest.mark.parametrize(("apply", "exists"), [(True, 200), (False, 404)])
def test_a_failed_request_may_have_been_applied(
    faulty: Callable[..., Any], user: str, apply: bool, exists: int
) -> None:
    braze = faulty(status=500, apply=apply)
    assert _statuses(braze, user, 1) == [500]
    braze.flush()
    assert braze.get(f"/_local/profiles/{user}").status_code == exists


def test_a_gateway_answers_in_html(faulty: Callable[..., Any], user: str) -> None:
    response = faulty(kind="html502").track({"external_id": user})
    assert response.status_code == 502
    assert response.headers["content-type"] == "text/html"
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_a_connection_can_be_reset(faulty: Callable[..., Any], user: str) -> None:
    braze = faulty(kind="reset")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        braze.track({"external_id": user})
    assert _statuses(braze, user, 1) == [201]


def test_an_answer_can_break_off_after_the_request_was_applied(faulty: Callable[..., Any], user: str) -> None:
    braze = faulty(kind="truncate")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        braze.track({"external_id": user})
    braze.flush()
    assert braze.get(f"/_local/profiles/{user}").status_code == 200


def test_an_answer_can_stay_away(faulty: Callable[..., Any], user: str) -> None:
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


def test_chance_is_drawn_from_the_seed(faulty: Callable[..., Any], braze: Any, user: str) -> None:
    runs = []
    for _ in range(2):
        faulty(status=500, probability=0.5, seed=7, times=None)
        runs.append(_statuses(braze, user, 20))
        braze.call("DELETE", "/_local/faults")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {201, 500}


def test_the_meter_counts_faults_by_what_the_client_saw(faulty: Callable[..., Any], user: str) -> None:
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


def test_profiles_are_listed_by_pages_and_prefix(braze: Any, user: str) -> None:
    braze.applied(*({"external_id": f"{user}-{letter}", "a": letter} for letter in "abc"))
    page = braze.get(f"/_local/profiles?prefix={user}-&limit=2&offset=1").json()
    assert [one["external_id"] for one in page["profiles"]] == [f"{user}-b", f"{user}-c"]
    assert page["total"] == 3


def test_an_external_id_may_look_like_a_path(braze: Any, user: str) -> None:
    braze.applied({"external_id": f"{user}/ä b?", "a": 1})
    assert braze.profile(f"{user}%2F%C3%A4%20b%3F")["external_id"] == f"{user}/ä b?"


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
@pytest.mark.parametrize("path", ["/_local/profiles", "/", "/ui/meter"])
def test_other_web_sites_are_kept_out(braze: Any, headers: dict[str, str], path: str) -> None:
    assert braze.get(path, headers=headers).status_code == 403


def test_the_control_api_can_be_opened(start: Callable[..., Any]) -> None:
    braze = start("--open-to-all")
    assert braze.get("/_local/profiles", headers={"Host": "stack.example"}).status_code == 200


def test_unknown_control_paths_are_a_404(braze: Any) -> None:
    assert braze.get("/_local/nothing").status_code == 404
