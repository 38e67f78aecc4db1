"""One catalog item at a time, the lag of many, and items that never arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "name", "type": "string"},
    {"name": "price", "type": "number"},
    {"name": "tags", "type": "array"},
]


@pytest.fixture
def items(braze: Any, catalog_name: str) -> str:
    """Create a catalogue and return the path of its items."""
    assert (
        braze.post("/catalogs", {"catalogs": [{"name": catalog_name, "fields": FIELDS}]}).status_code == 201
    )
    return f"/catalogs/{catalog_name}/items"


def _body(**item: Any) -> dict[str, Any]:
    return {"items": [item]}


def _ids(braze: Any, items: str) -> list[str]:
    braze.flush()
    return [item["id"] for item in braze.get(items).json()["items"]]


def test_an_item_lives_and_dies_at_once(braze: Any, items: str) -> None:
    path = f"{items}/a"
    assert braze.post(path, _body(name="A", price="2.5")).status_code == 201
    assert braze.get(path).json()["items"] == [{"id": "a", "name": "A", "price": 2.5}]
    assert braze.call("PATCH", path, _body(tags=["x"])).status_code == 200
    assert braze.call("PATCH", path, _body(tags={"$add": ["y"]})).status_code == 200
    assert braze.get(path).json()["items"] == [{"id": "a", "name": "A", "price": 2.5, "tags": ["x", "y"]}]
    assert braze.call("PUT", path, _body(name="B")).status_code == 200
    assert braze.get(path).json()["items"] == [{"id": "a", "name": "B"}]
    assert braze.call("PUT", f"{items}/new", _body(name="N")).status_code == 201
    assert braze.call("DELETE", path).status_code == 200
    assert braze.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "item_id", "body", "status", "error_id"),
    [
        ("POST", "held", _body(name="A"), 400, "item-already-exists"),
        ("PATCH", "none", _body(name="A"), 404, "item-not-found"),
        ("DELETE", "none", None, 404, "item-not-found"),
        ("GET", "none", None, 404, "item-not-found"),
        ("POST", "new", _body(id="new"), 400, "id-in-body"),
        ("POST", "a%20b", _body(name="A"), 400, "invalid-ids"),
        ("POST", "x" * 251, _body(name="A"), 400, "ids-too-large"),
        ("PUT", "new", _body(colour="red"), 400, "invalid-fields"),
        ("PUT", "new", _body(price="cheap"), 400, "unable-to-coerce-value"),
        ("PUT", "new", {"items": []}, 400, "item-array-invalid"),
        ("PUT", "new", {"items": [{}, {}]}, 400, "request-includes-too-many-items"),
    ],
)
def test_what_is_wrong_has_an_error_id(
    braze: Any, items: str, method: str, item_id: str, body: Any, status: int, error_id: str
) -> None:
    braze.post(f"{items}/held", _body(name="A"))
    response = braze.call(method, f"{items}/{item_id}", body)
    assert response.status_code == status
    assert [error["id"] for error in response.json()["errors"]] == [error_id]
    assert _ids(braze, items) == ["held"]


def test_an_item_of_no_catalogue_is_a_404(braze: Any) -> None:
    response = braze.call("PUT", "/catalogs/none/items/a", _body(name="A"))
    assert (response.status_code, response.json()["errors"][0]["id"]) == (404, "catalog-not-found")


def test_single_items_and_the_list_share_one_limit(start: Callable[..., Any]) -> None:
    braze = start("--limit", "catalog-items-sync=3/86400")
    braze.post("/catalogs", {"catalogs": [{"name": "c", "fields": FIELDS}]})
    assert braze.post("/catalogs/c/items/a", _body(name="A")).status_code == 201
    assert braze.get("/catalogs/c/items").status_code == 200
    assert braze.call("DELETE", "/catalogs/c/items/a").status_code == 200
    assert braze.get("/catalogs/c/items/a").status_code == 429
    assert braze.call("PUT", "/catalogs/c/items", _body(id="a")).status_code == 202


def test_items_may_lag_behind_users(start: Callable[..., Any]) -> None:
    braze = start("--apply-delay-seconds", "0", "--catalog-delay-seconds", "600")
    braze.post("/catalogs", {"catalogs": [{"name": "c", "fields": FIELDS}]})
    braze.call("PUT", "/catalogs/c/items", _body(id="a"))
    braze.track({"external_id": "u", "a": 1})
    while braze.get("/_local/profiles/u").status_code == 404:
        pass
    assert braze.get("/catalogs/c/items").json()["items"] == []
    braze.flush()
    assert len(braze.get("/catalogs/c/items").json()["items"]) == 1


@pytest.mark.parametrize("fault", [{"item_ids": ["b"]}, {"object_probability": 1, "method": "PUT"}])
def test_an_accepted_item_may_never_arrive(braze: Any, items: str, fault: dict[str, Any]) -> None:
    braze.post("/_local/faults", {"path": "/catalogs/*", "kind": "drop", **fault})
    response = braze.call("PUT", items, {"items": [{"id": "a"}, {"id": "b"}, {"id": "c"}]})
    assert (response.status_code, response.json()) == (202, {"message": "success"})
    assert _ids(braze, items) == (["a", "c"] if "item_ids" in fault else [])


def test_a_call_may_be_refused_for_one_item(braze: Any, items: str) -> None:
    fault = {"path": "/catalogs/*", "kind": "reject", "item_ids": ["b"], "error_type": "items-too-large"}
    braze.post("/_local/faults", fault)
    response = braze.call("PUT", items, {"items": [{"id": "a"}, {"id": "b"}]})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert (error["id"], error["parameter_values"]) == ("items-too-large", ["b"])
    assert _ids(braze, items) == []


def test_storage_is_limited_where_the_contract_says_so(start: Callable[..., Any]) -> None:
    braze = start("--catalog-storage-bytes", "300", "--apply-delay-seconds", "600")
    braze.post("/catalogs", {"catalogs": [{"name": "c", "fields": FIELDS}]})
    assert braze.call("PUT", "/catalogs/c/items", _body(id="a", name="x" * 150)).status_code == 202
    braze.flush()
    refused = braze.call("PUT", "/catalogs/c/items", _body(id="b", name="x" * 150))
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["id"] == "company-size-limit-already-reached"
    assert braze.call("DELETE", "/catalogs/c/items", _body(id="a")).status_code == 202
