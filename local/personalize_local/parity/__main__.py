"""Start a server and an S3, call every operation, print the table: `python -m personalize_local.parity`."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

from moto.server import ThreadedMotoServer

from personalize_local.parity.table import as_markdown
from personalize_local.parity.walk import examine
from personalize_local.s3 import connect
from personalize_local.server import Server
from personalize_local.service import Settings

_BUCKET = "personalize-parity"
_REGION = "us-east-1"


def main() -> int:
    """Print the table; return 1 if a step failed or an implemented operation is not validated and tested."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server logs every request
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL_S3=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="parity",
        AWS_SECRET_ACCESS_KEY="parity",  # ruff: ignore[hardcoded-password-func-arg] - any value does locally
    )
    try:
        connect(_REGION).create_bucket(Bucket=_BUCKET)
        with tempfile.TemporaryDirectory() as folder, Server(Settings(Path(folder), time_scale=0)) as server:
            rows, failures = examine(server.url, _BUCKET, _REGION)
    finally:
        s3.stop()
    print(as_markdown(rows))
    for failure in failures:
        print(f"- failed step {failure}")
    whole = all(row.validated and row.tested for row in rows if row.implemented)
    return 0 if whole and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
