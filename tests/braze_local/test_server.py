"""Health, request ids, latency and refused web sites."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests


def test_every_answer_carries_a_request_id(braze: Any) -> None:
    ids = {braze.post("/users/track", {}).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_health_needs_no_key(braze: Any) -> None:
    assert requests.get(braze.url + "/health", timeout=10).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
@pytest.mark.parametrize("path", ["/_local/profiles", "/", "/ui/meter"])
def test_other_web_sites_are_kept_out(braze: Any, headers: dict[str, str], path: str) -> None:
    assert braze.get(path, headers=headers).status_code == 403


def test_the_control_api_can_be_opened(start: Callable[..., Any]) -> None:
    braze = start("--open-to-all")
    assert braze.get("/_local/profiles", headers={"Host": "stack.example"}).status_code == 200


def test_latency_delays_answers_without_occupying_the_server(start: Callable[..., Any]) -> None:
    braze = start("--latency-ms", "300")
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: braze.track({"external_id": "u"}).status_code, range(12)))
    elapsed_seconds = time.monotonic() - began
    assert statuses == [201] * 12
    # One after another they would take 3.6 s; how much less than that is not measured.
    assert 0.3 <= elapsed_seconds < 3.6
    braze.adjust(latency_ms=0)
    assert braze.track({"external_id": "u"}).status_code == 201
