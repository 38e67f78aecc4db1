"""docs/alerts.md against the model and the messages."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from types import SimpleNamespace

import yaml
from airflow.sdk import Connection

from recsync.alerts.destinations import address
from recsync.alerts.failure import describe_failure
from recsync.errors import FatalError
from recsync.program import Event, Program
from recsync.program.operations import Via

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_example_is_sound() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    program = Program.model_validate(
        {"name": "shop", "braze": {"attribute": "recs"}, **yaml.safe_load(example)}
    )
    assert [alert.via for alert in program.alerts] == ["slack", "smtp", "sns"]
    assert program.deadline_hours.push == 4


def test_every_event_and_every_way_stands_on_the_page() -> None:
    assert first_column("Events") == [event.value for event in Event]
    assert first_column("Destinations") == list(typing.get_args(Via))


def test_the_connection_leads_to_slack() -> None:
    ((name, value),) = re.findall(r"AIRFLOW_CONN_(\w+)='(.*)'", PAGE)
    json.loads(value)
    assert (
        address(Connection.from_json(value, conn_id=name))
        == "https://hooks.slack.com/services/T000/B000/XXXX"
    )


def test_messages_are_made_of_the_lines_that_the_page_shows() -> None:
    ti = SimpleNamespace(task_id="t", dag_id="d", run_id="r", try_number=1)
    _, _, text = describe_failure("export", ti, FatalError("x"))
    shown = re.findall(r"^(\w[\w ]+): ", PAGE.split("```\n[recsync]")[1].split("```")[0], re.MULTILINE)
    assert [line.split(": ")[0] for line in text.splitlines()] == shown
