"""Check the health of local servers and Airflow's components."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

import requests

_TIMEOUT_SECONDS = 3.0


def get_json(url: str) -> Any:
    """Get a JSON document from a local server without a proxy; None unless the status is 200."""
    with requests.Session() as session, suppress(requests.RequestException, ValueError):
        session.trust_env = False
        response = session.get(url, timeout=_TIMEOUT_SECONDS)
        if response.status_code == 200:
            return response.json()
    return None


def answers(url: str) -> bool:
    """Return whether a local server answers a GET with status 200."""
    with requests.Session() as session, suppress(requests.RequestException):
        session.trust_env = False
        return session.get(url, timeout=_TIMEOUT_SECONDS).status_code == 200
    return False


def component_is_healthy(health: Any, component: str, started_at: float) -> bool:
    """Read one component from Airflow's health report.

    A heartbeat before `started_at` is from an earlier process, which Airflow reports as healthy for another half
    minute. https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/check-health.html
    """
    state = (health or {}).get(component) or {}
    if state.get("status") != "healthy":
        return False
    beat = state.get(f"latest_{component}_heartbeat")
    return beat is None or datetime.fromisoformat(beat).timestamp() >= started_at
