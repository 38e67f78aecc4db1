from __future__ import annotations

import logging
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_shop import Shop
from service_client import Client, code, ids

from recommendations.keys import end_key, new_key


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
        assert answer.headers["www-authenticate"] == "Bearer, Basic"
    for text, status in ((f"braze:{shop.key}", 200), (f"{shop.key}:", 401), (f"braze:{shop.key}x", 401)):
        password = {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}
        assert client.get("?user_id=ann", headers=password).status_code == status
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
