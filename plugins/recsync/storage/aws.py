"""Create AWS clients from the environment variable of an Airflow connection, without Airflow."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
from botocore.config import Config

from recsync.errors import FatalError


def aws_client(service: str, conn_id: str = "aws_default", config: Config | None = None) -> Any:
    """Return a client with the key, region and endpoint of ``AIRFLOW_CONN_<conn_id>``.

    Without the variable boto3 decides: its own variables, or the role of the machine.

    :raises FatalError: when the variable is not JSON, or names a role, which only Airflow assumes.
    """
    make: Any = boto3.client  # its stubs know each service by its name only
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    text = os.environ.get(variable)
    if not text:
        return make(service, config=config)
    try:
        connection = json.loads(text)
        extra = connection.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else dict(extra)
        endpoint = extra.get("service_config", {}).get(service, {}).get("endpoint_url")
    except (AttributeError, TypeError, ValueError):
        # The text of the error may show the password.
        raise FatalError(
            f"{variable} is not a connection in JSON; write it as docs/real-services.md shows."
        ) from None
    if "role_arn" in extra:
        raise FatalError(
            f"{variable} names a role_arn, which only Airflow assumes: run this with that role, and without the "
            "variable."
        )
    return make(
        service,
        aws_access_key_id=connection.get("login") or None,
        aws_secret_access_key=connection.get("password") or None,
        region_name=extra.get("region_name"),
        endpoint_url=endpoint or extra.get("endpoint_url"),
        config=config,
    )
