"""Servers that take messages: a webhook, Amazon's (by moto), and a mail server."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recsync.program import Program

BUCKET = "alerts"
REGION = "us-east-1"
Posted = tuple[str, dict[str, str], dict[str, Any]]


class Webhook:
    """Remember what is posted: path, headers and body; answer with the scripted statuses, then with 200."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.statuses: list[int] = []
        self.port = 0

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.posted]


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.mails: list[str] = []


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as one delivery needs."""

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"DATA":
                self._say("354 go on")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self._say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def served(server: socketserver.BaseServer) -> Generator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.posted.append((self.path, dict(self.headers), body))
            self.send_response(found.statuses.pop(0) if found.statuses else 200)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    with served(server):
        yield found


@pytest.fixture
def mail_server() -> Iterator[_MailServer]:
    server = _MailServer()
    with served(server):
        yield server


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url, region_name=REGION).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture
def connections(aws_url: str, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's connections to AWS and to the webhook, whose secret is a part of its path."""
    aws = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": REGION, "endpoint_url": aws_url},
    }
    slack = {
        "conn_type": "http",
        "host": f"http://127.0.0.1:{webhook.port}/services",
        "password": "T0/B0/hush",
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps(slack))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", BUCKET)


@pytest.fixture
def save_dag(airflow_db: None) -> Any:
    """Write DAGs to the metadata database, as the dag processor does."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    def save(dag: Any) -> None:
        with create_session() as session:
            session.merge(DagBundleModel(name="testing"))
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("testing", None, [lazy])
        SerializedDagModel.write_dag(lazy, bundle_name="testing")

    return save


@pytest.fixture
def program_name(request: pytest.FixtureRequest) -> str:
    """A name for each test: what was told before is remembered on S3."""
    return f"shop-{abs(hash(request.node.nodeid)) % 10**8}"


@pytest.fixture
def program(program_name: str, connections: None) -> Any:
    """Make programs with the given alerts."""

    def make(*alerts: dict[str, Any], **fields: Any) -> Program:
        return Program.model_validate(
            {"name": program_name, "braze": {"attribute": "recs"}, "alerts": list(alerts), **fields}
        )

    return make
