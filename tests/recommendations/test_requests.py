from __future__ import annotations

import json
from typing import Any

from service_client import Client, code

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
    *(
        ({"user_ids": ["a"], "limit": limit}, (422, "bad_limit"))
        for limit in (True, None, 0, 1.5, "4", 1e400)
    ),
    ({"user_ids": ["a"], "programs": None}, (422, "bad_programs")),
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


def test_a_whole_number_may_be_written_with_a_decimal_point(client: Client) -> None:
    results = client.ask(
        "POST",
        "/recommendations",
        content=b'{"user_ids": ["ann"], "limit": 1.0}',
        headers={"Content-Type": "application/json"},
    ).json()["results"]
    assert [item["id"] for item in results[0]["items"]] == ["i2"]
