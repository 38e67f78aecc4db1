"""The pages mounted as Airflow's API server mounts them, with a bucket of reports behind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from moto.server import ThreadedMotoServer

# The samples of the page's own tests, and the documents of thirty days.
sys.path.insert(0, str(Path(__file__).parents[1] / "export" / "report_page"))
sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "pages"))

BUCKET = "report-pages"
# Where a proxy puts Airflow.
ROOT = "/airflow"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


# For these tests only: other files of the process have settings and connections of their own.
@pytest.fixture(scope="package")
def s3() -> Iterator[Any]:
    """An S3 with a bucket, behind ``aws_default``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    extra = {"region_name": "us-east-1", "endpoint_url": url}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
        patch.setenv("AIRFLOW__RECSYNC__BUCKET", BUCKET)
        yield client
    server.stop()


@pytest.fixture
def put(s3: Any) -> Iterator[Callable[[str, Any], None]]:
    """Write JSON documents that are gone after the test."""
    written = []

    def write(key: str, document: Any) -> None:
        written.append(key)
        s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())

    yield write
    for key in written:
        s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture(scope="package")
def airflow_app(airflow_db: None, s3: Any) -> Any:
    """An application that mounts the pages below a proxy's path, and the simple auth manager with its users."""
    from airflow.api_fastapi.app import create_auth_manager
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from recsync.ui.mount import FASTAPI_APP

    create_auth_manager()
    return Starlette(routes=[Mount(FASTAPI_APP["url_prefix"], app=FASTAPI_APP["app"])])


@pytest.fixture
def visit(airflow_app: Any) -> Iterator[Callable[..., Any]]:
    """Ask for a page as a user of a role, or as nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    with TestClient(airflow_app, root_path=ROOT) as client:

        def get(path: str, role: str | None = "viewer") -> Any:
            user = SimpleAuthManagerUser(username="ada", role=role)
            client.cookies.clear()
            if role:
                client.cookies.set("_token", get_auth_manager().generate_jwt(user))
            return client.get(f"{ROOT}{path}", follow_redirects=False)

        yield get


@pytest.fixture
def send_form(airflow_app: Any) -> Iterator[Callable[..., Any]]:
    """Send the form of a page as a user of a role, or as nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    with TestClient(airflow_app, root_path=ROOT) as client:

        def post(
            page: str,
            people: str = "",
            role: str | None = "admin",
            headers: dict[str, str] = SAME_ORIGIN,
            body: str | None = None,
        ) -> Any:
            client.cookies.clear()
            if role:
                user = SimpleAuthManagerUser(username="ada", role=role)
                client.cookies.set("_token", get_auth_manager().generate_jwt(user))
            data = body if body is not None else urlencode({"people": people})
            form = {"content-type": "application/x-www-form-urlencoded", **headers}
            return client.post(f"{ROOT}{page}", content=data, headers=form)

        yield post
