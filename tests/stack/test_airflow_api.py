from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from stack.airflow_api import AirflowApi, wait_for
from stack.errors import ApiError, WaitTimeoutError


class FakeAirflow(ThreadingHTTPServer):
    """Answer like Airflow's API: tokens that expire, pages, errors with a detail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens_given = 0
        self.valid_token = ""
        self.run_states = ["queued", "running", "success"]
        self.seen: list[tuple[str, str, dict[str, list[str]], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "/auth/token"):
            if body != {"username": "admin", "password": "right"}:
                return 401, {"detail": "Invalid credentials"}
            self.tokens_given += 1
            self.valid_token = f"token-{self.tokens_given}"
            return 201, {"access_token": self.valid_token}
        known: dict[tuple[str, str], Any] = {
            ("GET", "/api/v2/monitor/health"): {"metadatabase": {"status": "healthy"}},
            ("GET", "/api/v2/dags/d"): {"dag_id": "d"},
            ("PATCH", "/api/v2/dags/d"): {"dag_id": "d"},
            ("POST", "/api/v2/dags/d/dagRuns"): {"dag_run_id": "r", "state": "queued"},
            ("GET", "/api/v2/dags/d/dagRuns/r%2B1/taskInstances/g.t/xcomEntries/return_value"): {
                "value": {"sent": 3}
            },
            ("POST", "/api/v2/backfills/dry_run"): {
                "backfills": [{"logical_date": f"2026-11-22T0{hour}:00:00Z"} for hour in (6, 5)]
            },
            ("GET", "/api/v2/importErrors"): {"import_errors": [], "total_entries": 0},
        }
        if path == "/api/v2/dags/d/dagRuns/r":
            state = self.run_states.pop(0) if len(self.run_states) > 1 else self.run_states[0]
            return 200, {"dag_run_id": "r", "state": state}
        if path == "/api/v2/dags/d/dagRuns/r/taskInstances":
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            tasks = [{"task_id": "t", "map_index": n} for n in range(250)]
            return 200, {"task_instances": tasks[offset : offset + limit], "total_entries": 250}
        if (method, path) in known:
            return 200, known[method, path]
        return 404, {"detail": f"nothing at {path}"}


class _Handler(BaseHTTPRequestHandler):
    server: FakeAirflow

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        query = parse_qs(url.query)
        self.server.seen.append((self.command, url.path, query, body))
        authorised = self.headers.get("Authorization") == f"Bearer {self.server.valid_token}"
        is_open = url.path in {"/auth/token", "/api/v2/monitor/health"}
        if authorised or is_open:
            status, answer = self.server.answer(self.command, url.path, query, body)
        else:
            status, answer = 401, {"detail": "Not authenticated"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def fake() -> Iterator[FakeAirflow]:
    server = FakeAirflow()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(fake: FakeAirflow) -> AirflowApi:
    return AirflowApi(fake.url, "admin", "right")


def test_health_needs_no_login(api: AirflowApi, fake: FakeAirflow) -> None:
    assert api.health()["metadatabase"]["status"] == "healthy"
    assert fake.tokens_given == 0


def test_the_dates_of_a_backfill_come_in_order_with_those_already_run(
    api: AirflowApi, fake: FakeAirflow
) -> None:
    start, end = datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    assert api.backfill_dates("d", start, end) == [start, datetime(2026, 11, 22, 6, tzinfo=UTC)]
    body = fake.seen[-1][3]
    assert (body["from_date"], body["to_date"]) == (start.isoformat(), end.isoformat())
    assert body["reprocess_behavior"] == "completed"


def test_one_token_serves_until_it_expires(api: AirflowApi, fake: FakeAirflow) -> None:
    api.dag("d")
    api.unpause("d")
    assert fake.tokens_given == 1
    fake.valid_token = "something else"
    assert api.dag("d") == {"dag_id": "d"}
    assert fake.tokens_given == 2


def test_a_wrong_password_is_told(fake: FakeAirflow) -> None:
    with pytest.raises(ApiError, match=r"POST /auth/token: 401 Invalid credentials"):
        AirflowApi(fake.url, "admin", "wrong").dag("d")


def test_what_is_missing_is_none_or_an_error(api: AirflowApi) -> None:
    assert api.dag("other") is None
    assert api.xcom("d", "r", "t") is None
    with pytest.raises(ApiError, match="404 nothing at") as caught:
        api.dag_run("other", "r")
    assert caught.value.status == 404


def test_a_trigger_carries_what_it_is_given(api: AirflowApi, fake: FakeAirflow) -> None:
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    assert api.trigger("d", {"x": 1}, logical_date=moment, run_id="r", note="why")["dag_run_id"] == "r"
    assert fake.seen[-1][3] == {
        "conf": {"x": 1},
        "logical_date": "2024-01-02T00:00:00+00:00",
        "dag_run_id": "r",
        "note": "why",
    }
    api.trigger("d")
    assert fake.seen[-1][3] == {"conf": {}, "logical_date": None}


def test_all_pages_are_read(api: AirflowApi) -> None:
    assert [task["map_index"] for task in api.task_instances("d", "r")] == list(range(250))


def test_ids_are_quoted(api: AirflowApi) -> None:
    assert api.xcom("d", "r+1", "g.t") == {"sent": 3}


def test_waiting_for_a_run_ends_with_it(api: AirflowApi) -> None:
    states: list[str] = []
    run = api.wait_for_run(
        "d", "r", timeout_seconds=20, poll_seconds=0, on_poll=lambda run: states.append(run["state"])
    )
    assert run["state"] == "success"
    assert states == ["queued", "running", "success"]


def test_waiting_in_vain_says_for_what(api: AirflowApi, fake: FakeAirflow) -> None:
    fake.run_states = ["running"]
    with pytest.raises(WaitTimeoutError, match="run r of d to finish"):
        api.wait_for_run("d", "r", timeout_seconds=0.05, poll_seconds=0.01)


def test_a_server_that_does_not_answer_is_named_and_waited_for(free_tcp_port: int) -> None:
    api = AirflowApi(f"http://127.0.0.1:{free_tcp_port}", "admin", "right")
    with pytest.raises(ApiError, match=f"{free_tcp_port} does not answer"):
        api.health()
    with pytest.raises(WaitTimeoutError, match=r"the API, in vain .*does not answer"):
        wait_for(api.health, "the API", timeout_seconds=0.05, poll_seconds=0.01)


def test_patience_changes_how_long_a_command_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_PATIENCE", "0.001")
    with pytest.raises(WaitTimeoutError, match="waited 0 s for the run"):
        wait_for(lambda: None, "the run", timeout_seconds=60, poll_seconds=0.01)


def test_every_path_exists_in_the_installed_airflow(api: AirflowApi, fake: FakeAirflow) -> None:
    """Compare the paths the client uses with Airflow's own OpenAPI document."""
    from importlib import resources

    text = resources.files("airflow.api_fastapi.core_api.openapi").joinpath("v2-rest-api-generated.yaml")
    document = yaml.load(text.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    calls = [
        api.health,
        api.dags,
        lambda: api.dag("d"),
        lambda: api.unpause("d"),
        lambda: api.trigger("d"),
        lambda: api.dag_run("d", "r"),
        lambda: api.dag_runs(),
        lambda: api.task_instances("d", "r"),
        lambda: api.xcom("d", "r", "t"),
        lambda: api.log("d", "r", "t", 1),
        api.asset_events,
        api.import_errors,
    ]
    for call in calls:
        with suppress(ApiError):  # the fake knows only some of them
            call()
    used = {
        (method.lower(), path, *query) for method, path, query, _ in fake.seen if path.startswith("/api/v2")
    }
    assert len(used) == len(calls)
    for method, path, *query in used:
        matching = [template for template in document["paths"] if _matches(template, path)]
        operations = [document["paths"][template][method] for template in matching]
        assert operations, f"{method} {path} is not in Airflow's API"
        allowed = {
            parameter["name"] for operation in operations for parameter in operation.get("parameters", [])
        }
        assert set(query) <= allowed


def _matches(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        expected == actual or expected.startswith("{") for expected, actual in zip(wanted, given, strict=True)
    )
