"""A scripted server that speaks AWS's REST-JSON, as the two real-time services do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from airflow_personalize.hooks.personalize import PersonalizeHook


class RestJsonServer:
    """Answer each path with what was scripted for it, in order; the last answer repeats; else an empty object."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers: dict[str, list[Any]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def connection(self, service: str) -> str:
        url = f"http://127.0.0.1:{self._http.server_port}"
        extra = {"region_name": "eu-west-1", "service_config": {service: {"endpoint_url": url}}}
        return json.dumps({"conn_type": "aws", "login": "test", "password": "test", "extra": extra})

    def on(self, path: str, *answers: Any) -> None:
        self._answers[path] = list(answers)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append((path, body))
        answers = self._answers.get(path) or [{}]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = answer(body) if callable(answer) else answer
        return answer if isinstance(answer, tuple) else (200, answer)

    @staticmethod
    def refusal(code: str, message: str, status: int = 400) -> tuple[int, dict[str, Any]]:
        return status, {"__type": code, "message": message}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: RestJsonServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet per reply: head and body apart cost 40 ms of delayed acknowledgement

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = server.answer(self.path, body)
            payload = json.dumps(reply).encode()
            self.send_response(status)
            if "__type" in reply:
                self.send_header("x-amzn-ErrorType", reply["__type"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    return Handler


@pytest.fixture
def rest_json_server() -> Iterator[RestJsonServer]:
    """A server without any scripted answer."""
    server = RestJsonServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def hook(_aws_json_server) -> Iterator[PersonalizeHook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", _aws_json_server.connection("personalize"))
        hook = PersonalizeHook()
        assert hook.conn_region_name == "eu-west-1"
        yield hook
