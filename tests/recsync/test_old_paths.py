"""What a deployment stored before an upgrade is still found after it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from airflow._shared.module_loading import import_string

from airflow_personalize.triggers import personalize, personalize_deleted, personalize_quota
from recsync.alerts.late import tell_late

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
TRIGGERS = {
    f"recsync.triggers.{module.__name__.rpartition('.')[2]}.{name}": each
    for module in (personalize, personalize_deleted, personalize_quota)
    for name, each in inspect.getmembers(module, inspect.isclass)
    if each.__module__ == module.__name__
}


@pytest.mark.parametrize("path", TRIGGERS)
def test_the_triggerer_finds_the_trigger_of_a_task_that_was_deferred_before(path: str) -> None:
    assert import_string(path) is TRIGGERS[path]


def test_the_triggerer_finds_the_callback_of_a_deadline_that_was_set_before() -> None:
    assert len(TRIGGERS) > 20
    assert import_string("recsync.notifications.late.tell_late") is tell_late


@pytest.mark.parametrize("command", ["recsync.stages.costs.report", "recsync.stages.preflight.run"])
def test_a_command_of_a_deployment_keeps_its_path(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", command, "nosuch"],
        env={"PYTHONPATH": str(PLUGINS), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        cwd=PLUGINS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "nosuch.yaml" in done.stderr
