"""Catalogs, lists of items and single items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "name", "type": "string"},
    {"name": "price", "type": "number"},
    {"name": "in_stock", "type": "boolean"},
    {"name": "tags", "type": "array"},
    {"name": "extra", "type": "object"},
    {"name": "since", "type": "time"},
    {"name": "where", "type": "geo"},
]


@pytest.fixture
def catalog(braze: Any, catalog_name: str) -> str:
    response = _create(braze, catalog_name)
    assert response.status_code == 201
    assert response.json() == {"message": "success"}
    return f"/catalogs/{catalog_name}"


def _create(braze: Any, name: Any, fields: Any = FIELDS) -> Any:
    return braze.post("/catalogs", {"catalogs": [{"name": name, "description": "d", "fields": fields}]})


def _write(braze: Any, method: str, catalog: str, *items: Any) -> None:
    response = braze.call(method, f"{catalog}/items", {"items": items})
    assert response.status_code == 202, response.text
    assert response.json() == {"message": "success"}
    braze.flush()


def _item(braze: Any, catalog: str, item_id: str) -> Any:
    response = braze.get(f"{catalog}/items/{item_id}")
    return response.json()["items"][0] if response.status_code == 200 else None


def test_a_catalog_is_listed_until_it_is_deleted(braze: Any, catalog: str) -> None:
    def listed() -> list[Any]:
        found = braze.get("/catalogs").json()["catalogs"]
        return [one for one in found if f"/catalogs/{one['name']}" == catalog]

    _write(braze, "PUT", catalog, {"id": "a", "name": "A"})
    (entry,) = listed()
    assert entry["fields"] == FIELDS
    assert entry["num_items"] == 1
    assert braze.call("DELETE", catalog).status_code == 200
    assert listed() == []
    missing = braze.call("DELETE", catalog)
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["id"] == "catalog-not-found"


def test_items_appear_after_the_delay(braze: Any, catalog: str) -> None:
    body = {"items": [{"id": "a", "name": "A", "price": "2.50", "in_stock": "true"}]}
    assert braze.call("PUT", f"{catalog}/items", body).status_code == 202
    assert _item(braze, catalog, "a") is None
    braze.flush()
    assert _item(braze, catalog, "a") == {"id": "a", "name": "A", "price": 2.5, "in_stock": True}


def test_put_replaces_rows_patch_edits_them_post_leaves_them(braze: Any, catalog: str) -> None:
    _write(braze, "PUT", catalog, {"id": "a", "name": "A", "tags": ["x"]}, {"id": "b", "name": "B"})
    _write(braze, "PUT", catalog, {"id": "b", "price": 1})
    _write(
        braze,
        "PATCH",
        catalog,
        {"id": "a", "price": 2, "tags": {"$add": ["y"], "$remove": ["x"]}},
        {"id": "zz"},
    )
    _write(braze, "POST", catalog, {"id": "a", "name": "new"}, {"id": "c", "name": "C"})
    assert _item(braze, catalog, "a") == {"id": "a", "name": "A", "tags": ["y"], "price": 2}
    assert _item(braze, catalog, "b") == {"id": "b", "price": 1}
    assert _item(braze, catalog, "c") == {"id": "c", "name": "C"}
    assert _item(braze, catalog, "zz") is None
    _write(braze, "DELETE", catalog, {"id": "a"}, {"id": "zz"})
    assert _item(braze, catalog, "a") is None
    missing = braze.get(f"{catalog}/items/a")
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["id"] == "item-not-found"


@pytest.mark.parametrize("edit", [{"$add": None}, {"$add": [1]}, {"$update": []}, {}])
def test_a_malformed_array_edit_is_a_400(braze: Any, catalog: str, edit: Any) -> None:
    response = braze.call("PATCH", f"{catalog}/items", {"items": [{"id": "a", "tags": edit}]})
    assert response.status_code == 400
    assert response.json()["errors"][0]["id"] == "unable-to-coerce-value"


def test_pages_are_linked(braze: Any, catalog: str) -> None:
    ids = [f"i{number:03}" for number in range(120)]
    for first in range(0, 120, 50):
        _write(braze, "PUT", catalog, *({"id": one} for one in ids[first : first + 50]))
    seen, url, pages = [], f"{catalog}/items", 0
    while url:
        response = braze.get(url)
        seen += [item["id"] for item in response.json()["items"]]
        url, pages = response.links.get("next", {}).get("url"), pages + 1
    assert seen == ids
    assert pages == 3
    assert response.links["prev"]["url"].startswith(f"{catalog}/items?cursor=")


def test_a_short_catalog_has_no_link(braze: Any, catalog: str) -> None:
    _write(braze, "PUT", catalog, *({"id": f"i{number}"} for number in range(50)))
    assert "link" not in braze.get(f"{catalog}/items").headers
    assert braze.get(f"{catalog}/items?cursor=%%%").status_code == 400


def _deep(levels: int) -> Any:
    return {"k": _deep(levels - 1)} if levels else 1


@pytest.mark.parametrize(
    ("items", "error_id"),
    [
        ("text", "item-array-invalid"),
        ([], "item-array-invalid"),
        (["text"], "item-array-invalid"),
        ([{"id": f"i{i}"} for i in range(51)], "request-includes-too-many-items"),
        ([{"name": "A"}], "items-missing-ids"),
        ([{"id": 5}], "ids-not-strings"),
        ([{"id": "a"}, {"id": "a"}], "ids-not-unique"),
        ([{"id": "x" * 251}], "ids-too-large"),
        ([{"id": "a b"}], "invalid-ids"),
        ([{"id": "a/b"}], "invalid-ids"),
        ([{"id": ""}], "invalid-ids"),
        ([{"id": "a", "colour": "red"}], "invalid-fields"),
        ([{"id": "a", "price": "cheap"}], "unable-to-coerce-value"),
        ([{"id": "a", "price": True}], "unable-to-coerce-value"),
        ([{"id": "a", "in_stock": "perhaps"}], "unable-to-coerce-value"),
        ([{"id": "a", "tags": [1]}], "unable-to-coerce-value"),
        ([{"id": "a", "tags": ["t"] * 101}], "unable-to-coerce-value"),
        ([{"id": "a", "since": "yesterday"}], "unable-to-coerce-value"),
        ([{"id": "a", "where": [200, 0]}], "unable-to-coerce-value"),
        ([{"id": "a", "extra": "text"}], "unable-to-coerce-value"),
        ([{"id": "a", "extra": {"a.b": 1}}], "invalid-keys-in-value-object"),
        ([{"id": "a", "extra": _deep(60)}], "too-deep-nesting-in-value-object"),
        ([{"id": "a", "name": "x" * 5001}], "items-too-large"),
        ([{"id": "good"}, {"id": "a", "name": "x" * 5001}], "items-too-large"),
    ],
)
def test_one_bad_item_refuses_the_whole_call(braze: Any, catalog: str, items: Any, error_id: str) -> None:
    response = braze.call("PUT", f"{catalog}/items", {"items": items})
    assert response.status_code == 400
    body = response.json()
    assert body["message"] == "Invalid Request"
    assert [error["id"] for error in body["errors"]] == [error_id]
    assert body["errors"][0].keys() == {"id", "message", "parameters", "parameter_values"}
    braze.flush()
    assert braze.get(f"{catalog}/items").json()["items"] == []


def test_values_of_every_type_come_back(braze: Any, catalog: str) -> None:
    item = {
        "id": "A-z_9",
        "name": "x" * 5000,
        "price": 3,
        "in_stock": False,
        "tags": ["a"] * 100,
        "extra": {"k": {"n": 1}},
        "since": "2026-01-01T00:00:00Z",
        "where": [13.4, 52.5],
    }
    _write(braze, "PUT", catalog, item)
    assert _item(braze, catalog, "A-z_9") == item


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_an_unknown_catalog_is_a_404(braze: Any, method: str) -> None:
    response = braze.call(method, "/catalogs/no_such/items", {"items": [{"id": "a"}]})
    assert response.status_code == 404
    assert response.json()["errors"][0]["id"] == "catalog-not-found"


@pytest.mark.parametrize(
    ("name", "fields", "error_id"),
    [
        ("a b", FIELDS, "invalid-catalog-name"),
        ("x" * 251, FIELDS, "invalid-catalog-name"),
        ("c", FIELDS[::-1], "id-not-first-column"),
        ("c", [{"name": "id", "type": "number"}], "id-not-first-column"),
        ("c", [FIELDS[0], {"name": "x", "type": "money"}], "invalid-field-types"),
        ("c", [FIELDS[0], {"name": "x y", "type": "string"}], "invalid-field-names"),
        ("c", [FIELDS[0], FIELDS[1], FIELDS[1]], "field-names-not-unique"),
        ("c", [FIELDS[0], *({"name": f"f{i}", "type": "string"} for i in range(500))], "too-many-fields"),
        ("c", [], "invalid-fields"),
    ],
)
def test_a_bad_definition_is_a_400(braze: Any, name: str, fields: Any, error_id: str) -> None:
    response = _create(braze, name, fields)
    assert response.status_code == 400
    assert response.json()["errors"][0]["id"] == error_id


def test_a_catalog_is_created_once_and_one_per_call(braze: Any, catalog: str) -> None:
    again = _create(braze, catalog.removeprefix("/catalogs/"))
    assert (again.status_code, again.json()["errors"][0]["id"]) == (400, "catalog-name-already-exists")
    two = [{"name": f"t{number}", "fields": FIELDS} for number in range(2)]
    response = braze.post("/catalogs", {"catalogs": two})
    assert response.json()["errors"][0]["id"] == "too-many-catalog-atoms"


def test_items_on_their_way_die_with_their_catalog(braze: Any, catalog: str) -> None:
    braze.call("PUT", f"{catalog}/items", {"items": [{"id": "a"}]})
    braze.call("DELETE", catalog)
    _create(braze, catalog.removeprefix("/catalogs/"))
    braze.flush()
    assert braze.get(f"{catalog}/items").json()["items"] == []


@pytest.fixture
def items(braze: Any, catalog_name: str) -> str:
    """Create a catalog and return the path of its items."""
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


def test_an_item_of_no_catalog_is_a_404(braze: Any) -> None:
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
