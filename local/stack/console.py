"""Provide what every command needs: the plan, progress lines and the login hint."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from stack.parts import Plan
from stack.ports import PortBook
from stack.secret_files import ADMIN, load_secrets
from stack.settings import read_settings

_STARTED = time.monotonic()


def make_plan(environ: Mapping[str, str] = os.environ) -> Plan:
    """Read the settings, ports and secrets of the environment's stack."""
    settings = read_settings(environ)
    return Plan(settings, PortBook(settings.home, environ), load_secrets(settings.home), environ)


def say(line: str) -> None:
    """Print a line with the seconds since the start of the command."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {line}", flush=True)


def login_hint(plan: Plan, *, show_password: bool) -> str:
    """Return the login of Airflow."""
    file = plan.settings.home / "secrets" / "airflow_admin_password"
    password = plan.secrets.airflow_admin_password if show_password else f"the password in {file}"
    return f"Airflow: {plan.url('airflow')}  log in as {ADMIN} with {password}"
