"""Generate the stack's secrets once, each in a file that only its owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

ADMIN = "admin"


@dataclass(frozen=True)
class Secrets:
    """Hold the generated secrets of one stack."""

    postgres_password: str
    airflow_admin_password: str
    airflow_jwt_secret: str
    airflow_fernet_key: str
    airflow_secret_key: str
    braze_api_key: str
    stack_id: str
    """Marks the environment of every process of this stack, to find strays."""


_GENERATORS: dict[str, Callable[[], str]] = {
    "postgres_password": lambda: secrets.token_urlsafe(24),
    "airflow_admin_password": lambda: secrets.token_urlsafe(12),
    "airflow_jwt_secret": lambda: secrets.token_urlsafe(64),  # Airflow warns below 64 bytes
    "airflow_fernet_key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "airflow_secret_key": lambda: secrets.token_urlsafe(32),
    "braze_api_key": lambda: str(uuid.uuid4()),
    "stack_id": lambda: uuid.uuid4().hex,
}


def load_secrets(home: Path) -> Secrets:
    """Read the secrets below `home` and generate missing ones."""
    folder = home / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Secrets(**{field.name: _get(folder / field.name, field.name) for field in fields(Secrets)})


def _get(path: Path, name: str) -> str:
    if not path.exists():
        write_private(path, _GENERATORS[name]() + "\n")
    return path.read_text().strip()


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, atomically."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)
    temporary.replace(path)


def write_airflow_passwords(home: Path, values: Secrets) -> Path:
    """Write the password file of SimpleAuthManager and return its path.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/auth-manager/simple/index.html
    """
    path = home / "secrets" / "airflow_passwords.json"
    write_private(path, json.dumps({ADMIN: values.airflow_admin_password}))
    return path
