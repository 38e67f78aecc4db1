from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from published_shop import Shop

from recommendations.app import create
from recommendations.keys import end_key, new_key

REGISTRY_BASE = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


class Client:
    """Ask an application without a server, and check every answer against its OpenAPI document."""

    def __init__(self, shop: Shop) -> None:
        self.app = create(shop.restarted)
        self.api = self.app.__closure__[0].cell_contents  # type: ignore[attr-defined]
        self.headers = {"Authorization": f"Bearer {shop.key}"}

    def again(self, shop: Shop) -> Client:
        """Return a client of a restarted service, whose updater has looked once."""
        self.api.close()
        shop.updater().poll()
        return Client(shop)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, headers={**self.headers, **headers}, **options)

        headers = options.pop("headers", {})
        self.api.refresh()
        answer = asyncio.run(asked())
        self.check(method, answer)
        return answer

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return self.ask("GET", f"/recommendations{path}", **options)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        return self.ask("POST", "/recommendations", json=body, **options)

    def check(self, method: str, answer: httpx.Response) -> None:
        document = self.api.openapi
        found = document["paths"].get(answer.request.url.path, {}).get(method.lower())
        if found is None:
            schema: Any = {"$ref": "#/components/schemas/Problem"}
        else:
            response = found["responses"][str(answer.status_code)]
            if "$ref" in response:
                response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
            if "content" not in response:
                return
            kind = answer.headers["content-type"].partition(";")[0]
            schema = response["content"][kind]["schema"]
        whole = {**REGISTRY_BASE, **schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    shop.publish(users={"ann": "u-ann", "bob": "u-bob", "cid": "u-cid"})
    shop.updater().poll()
    made = Client(shop)
    yield made
    made.api.close()


def ids(answer: httpx.Response) -> list[str]:
    return [item["id"] for item in answer.json()]


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_a_user_gets_an_array_of_objects(client: Client) -> None:
    answer = client.get("?user_id=ann&program=shop")
    assert answer.json()[0] == {
        "id": "i2", "url": "https://shop.example/2", "name": "Name 2", "price": 2.5, "image": None,
    }  # fmt: skip
    assert ids(answer) == ["i2", "i0"]
    assert ids(client.get("?user_id=ann&limit=1")) == ["i2"]
    assert answer.headers["recommendations-source"] == "list"
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert client.get("?user_id=nobody").headers["recommendations-source"] == "fallback"
    assert ids(client.get("?user_id=cid")) == []


def test_an_answer_that_did_not_change_is_not_sent_again(client: Client) -> None:
    first = client.get("?user_id=ann")
    again = client.get("?user_id=ann", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("?user_id=bob", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_an_answer_is_kept_no_longer_than_until_the_next_publication(
    client: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write_program(schedules={"recommend": "* * * * *"})
    every_minute = client.again(shop)
    moment = 1_796_000_000.0 // 60 * 60 + 50
    monkeypatch.setattr("recommendations.app.time.time", lambda: moment)
    every_minute.api._due["shop"] = moment + 10
    (name,) = every_minute.api._names
    assert every_minute.api._max_age([name]) == 10


def test_several_programs_and_several_users(client: Client, shop: Shop) -> None:
    shop.write_program("other")
    shop.publish(program="other", lists={"ann": ["i3"]}, columns={"arm": ["popular"]})
    both = client.again(shop)
    assert code(both.get("?user_id=ann")) == (400, "no_program")
    found = both.get("?user_id=ann&program=other&program=shop").json()
    assert {name: [item["id"] for item in items] for name, items in found.items()} == {
        "other": ["i3"], "shop": ["i2", "i0"],
    }  # fmt: skip
    assert ids(both.get("?program=other&user_id=ann")) == ["i3"]
    results = both.post({"user_ids": ["bob", "ann"], "programs": ["shop", "other"], "limit": 1}).json()[
        "results"
    ]
    assert [{**one, "items": [item["id"] for item in one["items"]]} for one in results] == [
        {"user_id": "bob", "program": "shop", "source": "list", "tier": "personal", "items": ["i1"]},
        {"user_id": "bob", "program": "other", "source": "fallback", "items": ["i3"]},
        {"user_id": "ann", "program": "shop", "source": "list", "tier": "personal", "items": ["i2"]},
        {
            "user_id": "ann", "program": "other", "source": "list", "tier": "personal", "arm": "popular",
            "items": ["i3"],
        },
    ]  # fmt: skip


def test_ids_are_taken_as_they_are_encoded(client: Client, shop: Shop) -> None:
    odd = "ann+b c/ü&x=1%"
    shop.publish("20261130T060000-bb", {odd: ["i3"]})
    again = client.again(shop)
    assert ids(again.ask("GET", "/recommendations", params={"user_id": odd})) == ["i3"]
    assert again.post({"user_ids": [odd]}).json()["results"][0]["source"] == "list"


WRONG = {
    "": (400, "bad_user_id"),
    "?user_id=": (400, "bad_user_id"),
    f"?user_id={'x' * 513}": (400, "bad_user_id"),
    "?user_id=ann&user_id=bob": (400, "repeated_parameter"),
    "?user_id=ann&limit=0": (400, "bad_limit"),
    "?user_id=ann&limit=101": (400, "bad_limit"),
    "?user_id=ann&limit=-1": (400, "bad_limit"),
    "?user_id=ann&limit=ten": (400, "bad_limit"),
    f"?user_id=ann&limit={'9' * 5000}": (400, "bad_limit"),
    "?user_id=ann&program=shops": (404, "unknown_program"),
}


def test_a_wrong_query_is_explained(client: Client) -> None:
    assert {query: code(client.get(query)) for query in WRONG} == WRONG


WRONG_BODIES: list[tuple[Any, tuple[int, str]]] = [
    ({}, (422, "bad_user_ids")),
    ([], (422, "no_object")),
    ({"user_ids": []}, (422, "bad_user_ids")),
    ({"user_ids": ["x"] * 101}, (422, "bad_user_ids")),
    ({"user_ids": [7]}, (422, "bad_user_id")),
    ({"user_ids": ["\ud800"]}, (422, "bad_user_id")),
    ({"user_ids": ["a"], "programs": []}, (422, "bad_programs")),
    ({"user_ids": ["a"], "programs": [{}]}, (422, "unknown_program")),
    ({"user_ids": ["a"], "limit": True}, (400, "bad_limit")),
    ({"user_ids": ["a"], "length": 3}, (422, "unknown_member")),
]


def test_a_wrong_body_is_explained(client: Client) -> None:
    kind = {"Content-Type": "application/json"}
    for body, expected in WRONG_BODIES:
        answer = client.ask("POST", "/recommendations", content=json.dumps(body), headers=kind)
        assert code(answer) == expected, body


def test_what_is_no_json_or_too_large_is_refused(client: Client) -> None:
    kind = {"Content-Type": "application/json"}
    for content, headers, expected in (
        (b"{", kind, (400, "no_json")),
        (b"\xff", kind, (400, "no_json")),
        (b"[" * 100_000, kind, (400, "no_json")),
        (b"{}", {"Content-Type": "text/plain"}, (415, "no_json")),
        (b" " * 200_001, kind, (413, "body_too_large")),
    ):
        assert code(client.ask("POST", "/recommendations", content=content, headers=headers)) == expected


def test_other_paths_and_methods_are_problems_too(client: Client) -> None:
    assert code(client.ask("GET", "/")) == (404, "no_such_path")
    answer = client.ask("DELETE", "/recommendations")
    assert (code(answer), answer.headers["allow"]) == ((405, "method_not_allowed"), "GET, HEAD, POST")
    assert code(client.ask("POST", "/healthz")) == (405, "method_not_allowed")


def test_only_a_valid_key_is_let_in_and_keys_are_rotated_without_a_restart(
    client: Client, shop: Shop
) -> None:
    for header in ("", "Bearer", "Bearer x", f"Basic {shop.key}", f"Bearer {shop.key}x", "Bearer \xe9"):
        answer = client.get("?user_id=ann", headers={"Authorization": header.encode("latin-1")})
        assert code(answer) == (401, "no_valid_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    new = {"Authorization": f"Bearer {new_key(shop.settings.keys)}"}
    assert [client.get("?user_id=ann", headers=each).status_code for each in ({}, new)] == [200, 200]
    end_key(shop.settings.keys, shop.key.split("_")[1], at=None)
    assert [client.get("?user_id=ann", headers=each).status_code for each in ({}, new)] == [401, 200]
    shop.settings.keys.write_text("{")
    assert client.get("?user_id=ann", headers=new).status_code == 200, "a damaged file ends no key"


def test_a_key_that_asks_too_much_is_told_when_to_come_again(client: Client, shop: Shop) -> None:
    few = {"Authorization": f"Bearer {new_key(shop.settings.keys, limit='3/minute')}"}
    assert client.post({"user_ids": ["a", "b"]}, headers=few).status_code == 200
    assert client.get("?user_id=ann", headers=few).status_code == 200
    answer = client.get("?user_id=ann", headers=few)
    assert code(answer) == (429, "too_many_requests")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert client.get("?user_id=ann").status_code == 200, "each key has a limit of its own"


def test_without_a_store_or_a_recent_look_at_the_suppression_list_nothing_is_served(shop: Shop) -> None:
    client = Client(shop)
    assert code(client.get("?user_id=ann")) == (503, "no_store")
    assert client.ask("GET", "/healthz").status_code == 503
    shop.publish()
    shop.updater().poll()
    health = client.ask("GET", "/healthz")
    assert health.status_code == 200
    assert health.json()["programs"]["shop"]["run"] == "20261130T050000-aa"
    late = replace(shop, settings=shop.with_config(max_unchecked_seconds=1e-9).settings)
    unchecked = client.again(late)
    assert code(unchecked.get("?user_id=ann")) == (503, "suppression_unchecked")
    assert unchecked.ask("GET", "/healthz").status_code == 503


def test_an_erased_person_is_gone_from_every_form_of_answer(client: Client, shop: Shop) -> None:
    shop.suppress(["u-ann"])
    again = client.again(shop)
    assert again.get("?user_id=ann").json() == again.get("?user_id=nobody").json(), (
        "unknown: only user_id is listed"
    )
    shop.suppress([], ["ann"])
    again = again.again(shop)
    assert again.get("?user_id=ann").json() == []
    results = again.post({"user_ids": ["ann", "bob"]}).json()["results"]
    assert [(one["source"], len(one["items"])) for one in results] == [("none", 0), ("list", 2)]


def test_a_failure_tells_nothing_of_the_request(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        raise KeyError("customer-secret")

    monkeypatch.setattr(client.api, "_answer", fails)
    answer = client.get("?user_id=customer-secret")
    assert code(answer) == (500, "internal")
    assert "KeyError" in caplog.text
    assert "customer-secret" not in answer.text + caplog.text


def test_no_log_names_a_user(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for path in ("?user_id=ann-8812", "?user_id=ann-8812&limit=x", "?user_id=ann-8812&program=ann-8812"):
        answer = client.get(path)
        assert "ann-8812" not in answer.text
    client.post({"user_ids": ["ann-8812"]})
    own = [
        record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "asyncio"))
    ]
    assert not any("ann-8812" in record.getMessage() for record in own)


def test_the_document_is_served_and_knows_the_programs(client: Client) -> None:
    document = client.ask("GET", "/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document["components"]["schemas"]["Program"]["enum"] == ["shop"]
    assert Path("/recommendations").as_posix() in document["paths"]
