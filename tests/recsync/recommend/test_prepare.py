"""What a recommend run asks: which champion may be asked, how jobs are named, whom a campaign refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.evaluation.store import Champion, ChampionStore
from recsync.recommend import campaign_inference as ask_campaign
from recsync.recommend.prepare import prepare, prepare_segment

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
ARN = "arn:aws:personalize:us-east-1:000000000000:"
CAMPAIGN = f"{ARN}campaign/shop-recommend"
CHAMPION = Champion(f"{ARN}solution/shop-user-personalization/1", "FULL", "2026", "run", {})
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
Write = Callable[[str], StageContext]


class _Runtime(BaseHTTPRequestHandler):
    """A campaign: it answers whom it knows, by the name of the user."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = body.get("userId", "").startswith("known")
        reply: dict[str, Any] = (
            {"actionList": [{"actionId": "a"}]} if known else {"message": "No value for $KIND."}
        )
        payload = json.dumps(reply).encode()
        self.send_response(200 if known else 400)
        if not known:
            self.send_header("x-amzn-ErrorType", "InvalidInputException")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Keep the test output clean."""


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, dict[str, str]]]:
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    runtime = ThreadingHTTPServer(("127.0.0.1", 0), _Runtime)
    thread = Thread(target=runtime.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    host, port = s3.get_host_and_port()
    campaign = {"endpoint_url": f"http://127.0.0.1:{runtime.server_port}"}
    # It does not describe itself, so it cannot be booked; nobody is kept waiting for that.
    yield {
        "s3": {"endpoint_url": f"http://{host}:{port}"},
        "personalize-runtime": campaign,
        "personalize": campaign,
    }
    runtime.shutdown()
    runtime.server_close()
    thread.join()
    s3.stop()


@pytest.fixture
def write(
    urls: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Write:
    """Write the program file of the shop, whose champion is one of user-personalization."""
    extra = {"region_name": "us-east-1", "service_config": urls}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", f"b-{abs(hash(request.node.name)):x}")
    monkeypatch.setenv("AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN", "arn:aws:iam::000000000000:role/r")
    for name in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / name).mkdir(parents=True)
    for query in ("interactions", "audience", "catalogue", "actions", "action_interactions"):
        (tmp_path / f"sql/shop/{query}.sql").write_text("SELECT 1")
    schemas = {"interactions": SCHEMA, **_ACTION_SCHEMAS}
    for name, schema in schemas.items():
        (tmp_path / f"schemas/shop/{name}.json").write_text(json.dumps(schema))

    def program(text: str) -> StageContext:
        (tmp_path / "programs/shop.yaml").write_text(f"braze: {{attribute: recs}}\n{text}\n")
        context = StageContext.of("shop")
        context.bucket.client.create_bucket(Bucket=context.bucket.name)
        context.store(ChampionStore).promote(CHAMPION)
        return context

    return program


_ACTION_SCHEMAS = {
    "actions": {**SCHEMA, "name": "Actions", "fields": [{"name": "ACTION_ID", "type": "string"}]},
    "action_interactions": {
        **SCHEMA,
        "name": "ActionInteractions",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ACTION_ID", "type": "string"},
            {"name": "EVENT_TYPE", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
        ],
    },
}
_NEXT_BEST_ACTION = (
    "personalize: {recipe: aws-next-best-action}\n"
    "datasets: {interactions: {}, actions: {}, action_interactions: {}}"
)


def test_a_champion_that_is_asked_otherwise_stops_the_run_before_anything_is_paid_for(write: Write) -> None:
    write("personalize: {recipe: aws-sims}")
    with pytest.raises(
        FatalError, match=r"of aws-user-personalization, which .*aws-sims is; run shop_train_full"
    ):
        prepare("shop", "run", NOW)


def test_a_cleared_run_with_more_people_per_item_takes_another_segment_job(write: Write) -> None:
    segment = "audience: {segment: {items: [a], users_per_item: %d}}"
    # Its own recipe has another version of the same questions, so its champion is asked until the next training.
    context = write(f"personalize: {{recipe: aws-user-personalization-v2}}\n{segment % 10}")
    context.store(ChampionStore).promote(
        replace(CHAMPION, segment_version_arn=f"{ARN}solution/shop-item-affinity/1")
    )
    first = prepare_segment("shop", "run", NOW)
    assert prepare_segment("shop", "run", NOW) == first
    write(segment % 20)
    context.store(ChampionStore).promote(
        replace(CHAMPION, segment_version_arn=f"{ARN}solution/shop-item-affinity/1")
    )
    assert prepare_segment("shop", "run", NOW)["job"] != first["job"]


def _ask(context: StageContext, users: list[str]) -> list[dict[str, Any]]:
    bucket, lines = context.bucket, "".join(json.dumps({"userId": user}) + "\n" for user in users)
    bucket.put("in.json", lines.encode())
    plan = {"run": "run", "input": bucket.uri("in.json"), "output": bucket.uri("out/"), "users": len(users)}
    assert ask_campaign.ask("shop", plan, CAMPAIGN) == CAMPAIGN
    parts = [bucket.get(key) or b"" for key in sorted(bucket.keys("out/"))]
    return [json.loads(line) for part in parts for line in part.splitlines()]


def test_one_who_is_refused_alone_in_the_last_part_stops_nobody(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_campaign, "PEOPLE_PER_PART", 2)
    answers = _ask(write(_NEXT_BEST_ACTION), ["known-1", "known-2", "new"])
    assert [line["output"]["recommendedItems"] for line in answers] == [["a"], ["a"], []]
    assert [line["error"] for line in answers] == [None, None, "No value for $KIND."]


def test_a_campaign_that_refuses_everybody_is_named_with_what_to_do(write: Write) -> None:
    told = rf"Campaign {CAMPAIGN} refuses everybody: No value for \$KIND\. Correct "
    with pytest.raises(FatalError, match=told):
        _ask(write(_NEXT_BEST_ACTION), ["new-1", "new-2"])
    with pytest.raises(FatalError, match=told):
        _ask(write("personalize: {recipe: aws-trending-now}"), [])
