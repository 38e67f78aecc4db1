"""Serve the pages of the Airflow UI over made documents, as a user who may see everything.

    python examples/pages/serve.py [PORT]

Nothing of a running stack is touched: the documents are in a bucket of this process. ``make docs-pictures`` looks at
these pages, because a local stack that began a minute ago has no history to draw.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
BUCKET, PROGRAM = "made-documents", "grocery"
BUDGET = "{monthly: 14, data_points_per_month: 60000}"
sys.path[:0] = [str(REPO / "plugins"), str(Path(__file__).parent)]


def main() -> None:
    """Serve until the process is ended; the first line of the output is the address."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8899
    with tempfile.TemporaryDirectory(prefix="recsync-pages-") as home:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(_include(Path(home))),
            "AIRFLOW__RECSYNC__BUCKET": BUCKET,
            "AIRFLOW__API_AUTH__JWT_SECRET": "made documents, on this machine only: sixty-four characters, no secret",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        _serve(port)


def _include(home: Path) -> Path:
    """Copy the program files, with a budget."""
    include = home / "include"
    shutil.copytree(REPO / "include", include)
    program = include / "programs" / f"{PROGRAM}.yaml"
    program.write_text(f"{program.read_text()}\nbudget: {BUDGET}\n")
    return include


def _serve(port: int) -> None:
    import boto3
    import uvicorn
    from documents import documents
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, s3_port = server.get_host_and_port()
    url = f"http://{host}:{s3_port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    for key, document in documents(PROGRAM, datetime.now(UTC)):
        client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())
    extra = {"region_name": "us-east-1", "endpoint_url": url}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)
    sys.stdout.write(f"http://127.0.0.1:{port}/recsync/deliveries\n")
    sys.stdout.flush()
    uvicorn.run(_app(), host="127.0.0.1", port=port, log_level="warning")


def _app() -> Any:
    """Mount the pages as Airflow's API server does; every request has the cookie of an administrator."""
    from airflow.api_fastapi.app import create_auth_manager, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.utils.db import initdb
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from recsync.ui.mount import FASTAPI_APP

    initdb()  # tokens are looked up among the revoked ones
    create_auth_manager()
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ada", role="admin"))

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        cookie = (b"cookie", f"_token={token}".encode())
        await FASTAPI_APP["app"]({**scope, "headers": [*scope["headers"], cookie]}, receive, send)

    return Starlette(routes=[Mount(FASTAPI_APP["url_prefix"], app=pages)])


if __name__ == "__main__":
    main()
