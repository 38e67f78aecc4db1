"""Let the tests beside this file import their helpers by name; give them what tasks run in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from local_shop import shop  # ruff: ignore[unused-import]


class TaskInstance:
    """Keep what a task pushes."""

    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


@pytest.fixture
def context():
    """The part of a task's context that the operators use."""
    return {"ti": TaskInstance()}


@pytest.fixture(autouse=True)
def _looks_in_quick_succession(monkeypatch):
    """The servers here answer at once: no need to look at them at the pace of the real one."""
    monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOK_SECONDS", 0.02)
