"""Keys, permissions, request formats and unknown paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_a_wrong_or_missing_key_is_a_401(braze: Any) -> None:
    for headers in ({"Authorization": "Bearer other"}, {"Authorization": braze.key}, {}):
        response = braze.post("/users/track", {"attributes": [{"external_id": "u"}]}, headers=headers)
        assert response.status_code == 401
        assert response.json() == {"message": "Invalid API key"}


def test_a_401_can_echo_the_key(start: Callable[..., Any]) -> None:
    braze = start("--echo-invalid-key")
    response = braze.post("/users/track", {}, headers={"Authorization": "Bearer mistyped"})
    assert response.status_code == 401
    assert response.json() == {"message": "Invalid API key: mistyped"}


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "/users/track", "users.track"),
        ("POST", "/users/export/ids", "users.export.ids"),
        ("GET", "/catalogs", "catalogs.get"),
        ("POST", "/catalogs", "catalogs.create"),
        ("DELETE", "/catalogs/c", "catalogs.delete"),
        ("GET", "/catalogs/c/items", "catalogs.get_items"),
        ("PUT", "/catalogs/c/items", "catalogs.replace_items"),
        ("POST", "/catalogs/c/items", "catalogs.add_items"),
        ("PATCH", "/catalogs/c/items", "catalogs.update_items"),
        ("DELETE", "/catalogs/c/items", "catalogs.delete_items"),
        ("GET", "/catalogs/c/items/i", "catalogs.get_item"),
    ],
)
def test_each_endpoint_needs_its_own_permission(
    permitted: Any, method: str, path: str, permission: str
) -> None:
    with_it = permitted.call(method, path, {}, headers={"Authorization": f"Bearer only-{permission}"})
    assert with_it.status_code not in {401, 403}
    without = permitted.call(method, path, {}, headers={"Authorization": f"Bearer all-but-{permission}"})
    assert without.status_code == 403
    assert without.json() == {"message": "Access Denied"}


@pytest.fixture(scope="module")
def permitted(tmp_path_factory: pytest.TempPathFactory, braze: Any) -> Any:
    everything = {
        *("users.track", "users.export.ids", "catalogs.get", "catalogs.create", "catalogs.delete"),
        *("catalogs.get_items", "catalogs.replace_items", "catalogs.add_items", "catalogs.update_items"),
        *("catalogs.delete_items", "catalogs.get_item"),
    }
    keys = [f"only-{one}:{one}" for one in everything]
    keys += [f"all-but-{one}:{','.join(everything - {one})}" for one in everything]
    server = type(braze)(tmp_path_factory.mktemp("permitted"), keys=tuple(keys))
    yield server
    server.stop()


def test_a_body_over_4_mb_is_a_413(braze: Any, user: str) -> None:
    fits = {"external_id": user, "filler": ["x" * 1000] * 4000}
    assert braze.track(fits).status_code == 201
    assert braze.track(fits | {"more": ["x" * 1000] * 400}).status_code == 413


@pytest.mark.parametrize(
    "data", [b'{"attributes":[{"external_id":"u"},]}', b"", b'{"a":NaN}', b'"\xff"', b"[" * 5000]
)
def test_a_body_that_is_not_json_is_a_400(braze: Any, data: bytes) -> None:
    headers = {"Authorization": f"Bearer {braze.key}", "Content-Type": "application/json"}
    response = braze.post("/users/track", data=data, headers=headers)
    assert response.status_code == 400
    assert "message" in response.json()


@pytest.mark.parametrize(
    ("kind", "status"), [("text/plain", 415), (None, 415), ("application/json; charset=utf-8", 201)]
)
def test_the_content_type_must_be_json(braze: Any, user: str, kind: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {braze.key}"} | ({"Content-Type": kind} if kind else {})
    body = b'{"attributes":[{"external_id":"%s"}]}' % user.encode()
    assert braze.post("/users/track", data=body, headers=headers).status_code == status


def test_a_trailing_slash_is_a_403_and_an_unknown_path_a_404(braze: Any) -> None:
    assert braze.post("/users/track/", {}).status_code == 403
    assert braze.post("/users/track/bulk", {}).status_code == 404
    assert braze.get("/users/track").status_code == 404
