"""Build Airflow's connections; the caller's AIRFLOW_CONN_* variables replace them.

https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html#storing-connections-in-environment-variables
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

AWS = "AIRFLOW_CONN_AWS_DEFAULT"
WAREHOUSE = "AIRFLOW_CONN_WAREHOUSE"
BRAZE = "AIRFLOW_CONN_BRAZE_DEFAULT"
OWN = "STACK_OWN_CONNECTIONS"
"""The digests of the connections that `stack env` printed, so that they do not count as the caller's own."""

REGION = "us-east-1"
# The local servers accept any credentials.
ACCESS_KEY = "local"
SECRET_KEY = "local-only"  # ruff: ignore[hardcoded-password-string] - not a secret


def aws_connection(s3_url: str, personalize_url: str) -> str:
    """Build the AWS connection, with the local endpoint of each service."""
    endpoints = {
        "s3": s3_url,
        "personalize": personalize_url,
        "personalize-runtime": personalize_url,
        "personalize-events": personalize_url,
    }
    return json.dumps(
        {
            "conn_type": "aws",
            "login": ACCESS_KEY,
            "password": SECRET_KEY,
            "extra": {
                "region_name": REGION,
                "service_config": {service: {"endpoint_url": url} for service, url in endpoints.items()},
            },
        }
    )


def warehouse_connection(host: str, port: int, login: str, password: str, database: str) -> str:
    """Build the connection of the warehouse database."""
    fields = {"host": host, "port": port, "login": login, "password": password, "schema": database}
    return json.dumps({"conn_type": "postgres", **fields})


def braze_connection(url: str, api_key: str) -> str:
    """Build the Braze connection: host = REST endpoint, password = API key, extra = rate plan."""
    extra = {"rate_plan": "data_points"}
    return json.dumps({"conn_type": "braze", "host": url, "password": api_key, "extra": extra})


def replaced_by_caller(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the caller's own connections, {variable: value}, including WAREHOUSE_DSN.

    Connections that this shell has from `stack env` do not count.
    """
    own = set(environ.get(OWN, "").split(","))
    given = {name: environ[name] for name in (AWS, WAREHOUSE, BRAZE) if environ.get(name)}
    replaced = {name: value for name, value in given.items() if digest(value) not in own}
    if environ.get("WAREHOUSE_DSN"):
        replaced.setdefault(WAREHOUSE, environ["WAREHOUSE_DSN"])
    return replaced


def digest(value: str) -> str:
    """Return a short hash of a connection."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]
