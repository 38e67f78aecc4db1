from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.config import Config
from published_shop import Shop

from recommendations.app import create
from recommendations.live import LiveSource
from recommendations.settings import Live

ARN = "arn:aws:personalize:eu-west-1:123456789012:"


class Runtime:
    """A scripted ``personalize-runtime``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.items, self.seconds, self.status = ["i3", "i1"], 0.0, 200
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                runtime.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                time.sleep(runtime.seconds)
                body = json.dumps({"itemList": [{"itemId": item} for item in runtime.items]}).encode()
                self.send_response(runtime.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def client(self) -> Any:
        return boto3.client(
            "personalize-runtime",
            endpoint_url=f"http://127.0.0.1:{self.server.server_port}",
            region_name="eu-west-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.server.shutdown()
    made.server.server_close()


def source(runtime: Runtime, **settings: Any) -> LiveSource:
    live = Live(**{"arn": f"{ARN}campaign/mail", "timeout_ms": 1_000, **settings})
    return LiveSource("shop", live, client=runtime.client())


def test_a_campaign_or_a_recommender_is_asked(runtime: Runtime) -> None:
    asyncio.run(source(runtime, filter_arn=f"{ARN}filter/new").item_ids("u1", 5))
    recommender = source(runtime, arn=f"{ARN}recommender/mail")
    assert asyncio.run(recommender.item_ids("u1", 5)) == ["i3", "i1"]
    assert runtime.asked == [
        {
            "userId": "u1",
            "numResults": 5,
            "campaignArn": f"{ARN}campaign/mail",
            "filterArn": f"{ARN}filter/new",
        },
        {"userId": "u1", "numResults": 5, "recommenderArn": f"{ARN}recommender/mail"},
    ]


def test_a_late_answer_is_not_waited_for(runtime: Runtime) -> None:
    runtime.seconds = 0.6
    slow = source(runtime, timeout_ms=50)
    started = time.monotonic()
    assert asyncio.run(slow.item_ids("u1", 5)) is None
    assert time.monotonic() - started < 0.5


def test_after_some_failures_nothing_is_asked_for_a_while(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.status = 500
    failing = source(runtime)

    async def ask(times: int) -> list[list[str] | None]:
        return [await failing.item_ids("user-4711", 5) for _ in range(times)]

    assert asyncio.run(ask(8)) == [None] * 8
    assert len(runtime.asked) == 5
    assert "gave no answer 5 times in a row" in caplog.text
    assert "user-4711" not in caplog.text
    runtime.status = 200
    monkeypatch.setattr("recommendations.live.time.monotonic", lambda now=time.monotonic: now() + 11)
    assert asyncio.run(ask(1)) == [["i3", "i1"]]


def test_the_list_answers_where_the_live_source_does_not(
    runtime: Runtime, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.publish(users={"ann": "u-ann", "bob": "u-bob", "cid": "u-cid"})
    shop.suppress([], ["bob"])
    live = shop.with_config(programs={"shop": {"live": {"arn": f"{ARN}campaign/mail", "timeout_ms": 1_000}}})
    live.updater().poll()
    client = runtime.client()
    monkeypatch.setattr("recommendations.live.aws_client", lambda *a, **k: client)
    caplog.set_level(logging.ERROR)
    api = create(live.restarted).__closure__[0].cell_contents  # type: ignore[attr-defined]

    def answers(*users: str) -> list[tuple[str, bytes]]:
        async def asked() -> list[tuple[str, bytes]]:
            found = await api._ask(users, ["shop"], 2)
            answers = [api._answer("shop", user, 2, found) for user in users]
            return [(answer.source, [item["id"] for item in json.loads(answer.items)]) for answer in answers]

        return asyncio.run(asked())

    assert answers("ann", "bob", "new") == [("live", ["i3", "i1"]), ("none", []), ("live", ["i3", "i1"])]
    assert {one["userId"] for one in runtime.asked} == {"u-ann", "new"}, (
        "the warehouse's id; nobody who is suppressed"
    )
    runtime.items = ["not in the catalog"]
    assert answers("ann") == [("list", ["i2", "i0"])]
    runtime.status = 400
    assert answers("ann") == [("list", ["i2", "i0"])]
    api.close()
