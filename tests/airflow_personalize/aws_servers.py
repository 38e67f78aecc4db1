"""Fixtures for tests that talk to AWS: a scripted AWS JSON 1.1 server, and Airflow's connection to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import pytest

Answer = dict[str, Any] | tuple[int, dict[str, Any]]
Scripted = Answer | Callable[[dict[str, Any]], Answer]


class AwsJsonServer:
    """Answer each operation with what was scripted for it, in order; the last answer repeats.

    An answer is a reply body, what ``refusal()`` returns, or a function of the request body to either.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers: dict[str, list[Scripted]] = {}
        self._lock = Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def connection(self, service: str) -> str:
        """Return an Airflow connection that leads one AWS service here."""
        extra = {"region_name": "eu-west-1", "service_config": {service: {"endpoint_url": self.url}}}
        return json.dumps({"conn_type": "aws", "login": "test", "password": "test", "extra": extra})

    def on(self, operation: str, *answers: Scripted) -> AwsJsonServer:
        self._answers[operation] = list(answers)
        return self

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == operation]

    def answer(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.calls.append((operation, body))
            answers = self._answers.get(operation) or [self.refusal("InvalidInputException", "not scripted")]
            scripted = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = scripted(body) if callable(scripted) else scripted
        return answer if isinstance(answer, tuple) else (200, answer)

    @staticmethod
    def refusal(code: str, message: str = "refused", status: int = 400) -> Answer:
        return status, {"__type": code, "message": message}

    def reset(self) -> None:
        self.calls.clear()
        self._answers.clear()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: AwsJsonServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet per reply: head and body apart cost 40 ms of delayed acknowledgement

        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].split(".")[-1]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = server.answer(operation, body)
            payload = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    return Handler


@pytest.fixture(scope="session")
def _aws_json_server() -> Iterator[AwsJsonServer]:
    server = AwsJsonServer()
    yield server
    server.close()


@pytest.fixture
def aws_json_server(_aws_json_server: AwsJsonServer) -> AwsJsonServer:
    """A server without any scripted answer; its address stays the same for the whole session."""
    _aws_json_server.reset()
    return _aws_json_server


@pytest.fixture
def personalize(aws_json_server: AwsJsonServer, monkeypatch: pytest.MonkeyPatch) -> AwsJsonServer:
    """The scripted server, in the place of Amazon Personalize behind ``aws_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", aws_json_server.connection("personalize"))
    return aws_json_server


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """An empty metadata database: what ``dag.test()`` needs, and nothing else does."""
    from airflow.utils.db import initdb

    initdb()


class PersonalizeAccount:
    """An account of the local Personalize with S3 beside it, both behind ``aws_default``."""

    bucket = "personalize-operators"

    def __init__(self, url: str, s3: Any, data: Any) -> None:
        self.url, self.s3, self.data = url, s3, data

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        return self.location(key)

    def location(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def read(self, prefix: str) -> dict[str, str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        bodies = {each["Key"]: self.s3.get_object(Bucket=self.bucket, Key=each["Key"]) for each in listed}
        return {key: body["Body"].read().decode() for key, body in bodies.items()}


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """An S3 of moto's on a free port, for the session."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def account(
    tmp_path_factory: pytest.TempPathFactory, s3_url: str, request: pytest.FixtureRequest
) -> Iterator[PersonalizeAccount]:
    """An empty account for one module; jobs end as fast as they compute, unless its ``PERSONALIZE`` says otherwise."""
    import boto3

    from personalize_local.server import Server
    from personalize_local.service import Settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", s3_url)
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=PersonalizeAccount.bucket)
        data = tmp_path_factory.mktemp("personalize")
        settings = Settings(data, "123456789012", 0.0, 1, event_age_seconds=0.0)
        settings = replace(settings, **getattr(request.module, "PERSONALIZE", {}))
        with Server(settings) as server:
            services = ["personalize", "personalize-runtime", "personalize-events"]
            endpoints = {each: {"endpoint_url": server.url} for each in services}
            extra = {
                "region_name": "eu-west-1",
                "service_config": {**endpoints, "s3": {"endpoint_url": s3_url}},
            }
            connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
            patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
            patch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOK_SECONDS", 0.05)
            yield PersonalizeAccount(server.url, s3, data)
