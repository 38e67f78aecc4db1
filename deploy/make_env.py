"""Write .env for docker-compose.yaml: .env.example with a fresh random value for every secret.

Python's standard library is all it needs. An existing file is never overwritten: a new Fernet key could not read
the connections stored with the old one, and PostgreSQL would keep its old password.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

# Passwords stand inside URLs, so they hold nothing but letters, digits, - and _.
GENERATORS: Mapping[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(32),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(32),
    "AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_urlsafe(64),  # Airflow warns below 64 bytes
    "AIRFLOW_SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(18),
    "WAREHOUSE_LOCAL_PASSWORD": lambda: secrets.token_urlsafe(32),
    "BRAZE_LOCAL_KEY": lambda: str(uuid.uuid4()),
}


def env_text(template: str, *, local: bool) -> str:
    """Fill the template's secrets; with ``local``, add what turns the profile `local` on.

    :raises ValueError: when the template lacks a secret, or names one that nothing here generates.
    """
    lines = template.splitlines()
    empty = {line.removesuffix("=") for line in lines if line.endswith("=") and not line.startswith("#")}
    if empty != set(GENERATORS):
        raise ValueError(
            f"template and generator disagree about the secrets {sorted(empty ^ set(GENERATORS))}"
        )
    values = {name: generate() for name, generate in GENERATORS.items()}
    filled = [f"{line}{values[line[:-1]]}" if line[:-1] in values else line for line in lines]
    # The template's first paragraph speaks about the template.
    kept = filled[filled.index("") :]
    added = local_lines(values) if local else []
    return "\n".join(["# Written by deploy/make_env.py. Keep it to yourself.", *kept, *added]) + "\n"


def local_lines(values: Mapping[str, str]) -> list[str]:
    """List the settings and connections that point Airflow to the services of the profile `local`."""
    personalize = {"endpoint_url": "http://local-personalize:5001"}
    endpoints = {
        "s3": {"endpoint_url": "http://local-s3:5000"},
        **dict.fromkeys(("personalize", "personalize-runtime", "personalize-events"), personalize),
    }
    connections = {
        "AWS_DEFAULT": {
            "conn_type": "aws",
            "login": "local",
            "password": "local-only",  # nothing checks it
            "extra": {"region_name": "us-east-1", "service_config": endpoints},
        },
        "WAREHOUSE": {
            "conn_type": "postgres",
            "host": "local-warehouse",
            "port": 5432,
            "schema": "warehouse",
            "login": "warehouse",
            "password": values["WAREHOUSE_LOCAL_PASSWORD"],
        },
        "BRAZE_DEFAULT": {
            "conn_type": "braze",
            "host": "http://local-braze:5002",
            "password": values["BRAZE_LOCAL_KEY"],
            "extra": {"allow_http": True},  # the key never leaves the container network
        },
    }
    return [
        "",
        "# --- Profile `local`: no AWS, no Braze, no warehouse of your own ---",
        "COMPOSE_PROFILES=local",
        "AIRFLOW__RECSYNC__BUCKET=recsync-local",
        "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN=arn:aws:iam::000000000000:role/local",
        "AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS=5",
        *(f"AIRFLOW_CONN_{name}='{json.dumps(fields)}'" for name, fields in connections.items()),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; exit status 1 when it is there already."""
    parser = argparse.ArgumentParser(prog="python deploy/make_env.py", description=__doc__)
    parser.add_argument(
        "--local", action="store_true", help="also run the local stack, and point Airflow to it"
    )
    parser.add_argument(
        "--file", type=Path, default=REPO / ".env", help="default: .env beside docker-compose.yaml"
    )
    options = parser.parse_args(arguments)
    text = env_text((REPO / ".env.example").read_text(encoding="utf-8"), local=options.local)
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(
            f"{options.file} is there already and stays as it is. docs/deploy.md says how to change secrets.\n"
        )
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(f"{options.file} written. Log in to Airflow as admin with its AIRFLOW_ADMIN_PASSWORD.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
