from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest
from airflow.models.connection import Connection

from stack import connections
from stack.commands import env
from stack.connections import AWS, BRAZE, OWN, WAREHOUSE
from stack.console import make_plan
from stack.environment import airflow_variables, connection_variables, local_environment
from stack.parts import PORTED, Plan


def variables(plan: Plan) -> dict[str, str]:
    return airflow_variables(plan.settings, plan.ports, plan.secrets, plan.environ)


def test_airflow_reads_the_connections(stack_environ: dict[str, str]) -> None:
    plan = make_plan(stack_environ)
    given = variables(plan)
    port = {part: int(stack_environ[f"STACK_{part.upper()}_PORT"]) for part in PORTED}

    braze = Connection.from_json(given[BRAZE], conn_id="braze_default")
    assert braze.conn_type == "braze"
    assert braze.host == f"http://127.0.0.1:{port['braze']}"
    assert braze.password == plan.secrets.braze_api_key
    assert braze.extra_dejson == {"rate_plan": "data_points"}

    warehouse = Connection.from_json(given[WAREHOUSE], conn_id="warehouse")
    assert (warehouse.conn_type, warehouse.host, warehouse.port, warehouse.schema) == (
        *("postgres", "127.0.0.1", port["postgres"]),
        "warehouse",
    )

    aws = Connection.from_json(given[AWS], conn_id="aws_default").extra_dejson
    assert aws["region_name"] == "us-east-1"
    endpoints = {name: config["endpoint_url"] for name, config in aws["service_config"].items()}
    personalize = f"http://127.0.0.1:{port['personalize']}"
    assert endpoints == {
        "s3": f"http://127.0.0.1:{port['s3']}",
        "personalize": personalize,
        "personalize-runtime": personalize,
        "personalize-events": personalize,
    }


def test_the_callers_connection_replaces_the_local_one_and_its_parts(stack_environ: dict[str, str]) -> None:
    mine = {AWS: "aws://", BRAZE: "braze://my", "AIRFLOW_CONN_OTHER": "http://o"}
    plan = make_plan({**stack_environ, **mine, "WAREHOUSE_DSN": "postgresql://me@db/wh"})
    given = variables(plan)
    assert {name: given[name] for name in mine} == mine
    assert given[WAREHOUSE] == "postgresql://me@db/wh"
    assert plan.replaced == {"s3", "personalize", "braze"}
    assert not plan.own_warehouse
    assert "127.0.0.1" in given["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_what_env_printed_does_not_count_as_the_callers(stack_environ: dict[str, str]) -> None:
    printed = variables(make_plan(stack_environ))
    again = make_plan({**stack_environ, **printed})
    assert again.replaced == set()
    assert variables(again) == printed
    changed = make_plan({**stack_environ, **printed, BRAZE: "braze://mine"})
    assert changed.replaced == {"braze"}


def test_other_airflow_settings_pass_and_foreign_structure_does_not(stack_environ: dict[str, str]) -> None:
    plan = make_plan(
        {
            **stack_environ,
            "AIRFLOW__RECSYNC__ANYTHING": "7",
            "AIRFLOW__CORE__PARALLELISM": "9",
            "AIRFLOW_HOME": "/elsewhere",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
        }
    )
    given = variables(plan)
    assert given["AIRFLOW__RECSYNC__ANYTHING"] == "7"
    assert given["AIRFLOW__CORE__PARALLELISM"] == "9"
    assert given["AIRFLOW__RECSYNC__BUCKET"] == "recsync-local"
    assert given["AIRFLOW_HOME"] == str(plan.settings.airflow_home)
    assert given["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")
    assert len(given["AIRFLOW__API_AUTH__JWT_SECRET"].encode()) >= 64


def test_airflow_processes_lean_on_nothing_local(stack_environ: dict[str, str]) -> None:
    local = local_environment(stack_environ)["PYTHONPATH"]
    plan = make_plan(
        {**stack_environ, "PYTHONPATH": f"{local}:/mine", "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "x"}
    )
    environ = plan.airflow_environ()
    assert environ["PYTHONPATH"] == "/mine"
    assert "PYTHONDONTWRITEBYTECODE" not in environ
    assert environ["NO_PROXY"] == "x,127.0.0.1,localhost"
    assert plan.part("scheduler").argv[3:] == ["scheduler", "--skip-serve-logs"]


def test_recsync_commands_find_the_plugins_and_may_have_their_own_metadata(
    stack_environ: dict[str, str], tmp_path: Path
) -> None:
    plan = make_plan({**stack_environ, "PYTHONPATH": "/mine"})
    shared, own = plan.recsync_environ(), plan.recsync_environ(own_metadata=tmp_path)
    assert shared["PYTHONPATH"] == own["PYTHONPATH"] == f"{plan.settings.plugins}:/mine"
    assert shared["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")
    assert own["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow.db"


def test_no_secret_is_among_the_arguments_of_a_process(stack_environ: dict[str, str]) -> None:
    plan = make_plan(stack_environ)
    words = [
        word
        for name in ("postgres", "s3", "personalize", "braze", "api-server")
        for word in plan.part(name).argv
    ]
    for secret in vars(plan.secrets).values():
        assert not any(secret in word for word in words)
    assert plan.part("braze").environ["BRAZE_LOCAL_KEY"] == plan.secrets.braze_api_key


def test_secrets_are_private_and_stay_the_same(stack_environ: dict[str, str]) -> None:
    first, second = make_plan(stack_environ), make_plan(stack_environ)
    assert first.secrets == second.secrets
    for path in Path(stack_environ["STACK_HOME"], "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_shell_takes_in_what_env_prints(
    stack_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tricky = """a'b "c" $HOME `x` \\ é"""
    for name, value in {**stack_environ, "AIRFLOW__RECSYNC__TRICKY": tricky}.items():
        monkeypatch.setenv(name, value)
    import argparse

    assert env.run(argparse.Namespace()) == 0
    script = (
        capsys.readouterr().out + 'printf "%s\\n" "$AIRFLOW__RECSYNC__TRICKY" "$AIRFLOW_CONN_BRAZE_DEFAULT"'
    )
    shown = subprocess.check_output(["bash", "-c", script], text=True, env={"HOME": "/h"}).splitlines()
    assert shown[0] == tricky
    assert json.loads(shown[1])["conn_type"] == "braze"


def test_digests_give_nothing_away(stack_environ: dict[str, str]) -> None:
    plan = make_plan(stack_environ)
    own = connection_variables(plan.ports, plan.secrets, {})[OWN]
    assert len(own.split(",")) == 3
    assert plan.secrets.braze_api_key not in own
    assert connections.digest("x") != connections.digest("y")
