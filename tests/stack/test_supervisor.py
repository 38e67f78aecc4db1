"""Run real processes: the embedded PostgreSQL and moto, and small fakes for the other two services."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stack import processes, s3_state
from stack.commands import status
from stack.console import make_plan
from stack.errors import StackError, StartError
from stack.parts import AIRFLOW, SERVICES, Part, Plan
from stack.supervisor import Supervisor

FAKE_SERVICE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class PlanWithFakes(Plan):
    """Put a little HTTP service where Personalize and Braze would be."""

    code = FAKE_SERVICE

    def part(self, name: str) -> Part:
        part = super().part(name)
        if name in {"personalize", "braze"}:  # the shop is quick enough to run itself
            argv = [sys.executable, "-c", self.code, str(part.port)]
            return dataclasses.replace(part, argv=argv, start_timeout_seconds=20)
        return part


class BrokenPlan(PlanWithFakes):
    code = "import sys; print('the reason it fails'); sys.exit(3)"


Make = Callable[..., tuple[Supervisor, list[str]]]


@pytest.fixture
def make(stack_environ: dict[str, str]) -> Iterator[Make]:
    def build(kind: type[Plan] = PlanWithFakes, **environ: str) -> tuple[Supervisor, list[str]]:
        plan = make_plan({**stack_environ, **environ})
        said: list[str] = []
        return Supervisor(kind(plan.settings, plan.ports, plan.secrets, plan.environ), said.append), said

    yield build
    build()[0].down()


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {state.name: state.pid for state in supervisor.status() if state.name in SERVICES}


def test_services_come_up_stay_up_come_back_and_go_down(make: Make) -> None:
    supervisor, said = make()
    supervisor.up(airflow=False)
    first = pids(supervisor)
    assert all(first.values())
    assert all(re.search(rf"^{name}: healthy after", "\n".join(said), re.M) for name in SERVICES)
    plan = supervisor.plan
    with psycopg.connect(plan.server().dsn("airflow")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    s3 = s3_state.client(plan.url("s3"))
    s3.put_object(Bucket=plan.settings.bucket, Key="kept/object", Body=b"content")

    again, said = make()
    again.up(airflow=False)
    assert pids(again) == first
    assert all(f"{name}: already running" in "\n".join(said) for name in SERVICES)

    os.kill(first["braze"] or 0, signal.SIGKILL)
    while supervisor.status()[SERVICES.index("braze")].state != "ended":
        time.sleep(0.02)
    make()[0].up(airflow=False)
    revived = pids(supervisor)
    assert revived["braze"] not in {None, first["braze"]}
    assert {**revived, "braze": None} == {**first, "braze": None}

    stopper, said = make()
    stopper.down()
    assert pids(stopper) == dict.fromkeys(SERVICES)
    assert all(state.state == "stopped" for state in stopper.status())
    assert not any("SIGKILL" in line for line in said)
    assert processes.strays(plan.secrets.stack_id) == []

    make()[0].up(airflow=False)
    assert s3.get_object(Bucket=plan.settings.bucket, Key="kept/object")["Body"].read() == b"content"


def test_a_part_that_fails_shows_the_end_of_its_log(make: Make) -> None:
    supervisor, _ = make(BrokenPlan)
    with pytest.raises(
        StartError, match=r"(?s)personalize ended while starting.*personalize\.log.*the reason it fails"
    ):
        supervisor.up(airflow=False)


def test_a_replaced_part_is_not_started(make: Make) -> None:
    supervisor, said = make(AIRFLOW_CONN_AWS_DEFAULT="aws://", AIRFLOW_CONN_BRAZE_DEFAULT="braze://")
    supervisor.up(airflow=False)
    states = {state.name: state.state for state in supervisor.status()}
    assert states["postgres"] == "running"
    assert {states[name] for name in ("s3", "personalize", "braze")} == {"replaced"}
    assert "s3: not started, your own connection stands in for it" in said


def test_a_missing_dags_folder_is_told_before_anything_starts(make: Make, tmp_path: Path) -> None:
    supervisor, _ = make(STACK_DAGS=str(tmp_path / "nowhere"))
    with pytest.raises(StackError, match="set STACK_DAGS"):
        supervisor.up()
    assert not any(state.pid for state in supervisor.status())


def test_down_on_nothing_does_nothing(make: Make) -> None:
    supervisor, said = make()
    supervisor.down()
    assert said == []


def test_the_status_table_lists_every_part(make: Make) -> None:
    supervisor, _ = make()
    lines = status.table(supervisor.status()).splitlines()
    assert [line.split()[0] for line in lines] == ["PART", *SERVICES, *AIRFLOW]
    assert all(line.endswith(".log") for line in lines[1:])
