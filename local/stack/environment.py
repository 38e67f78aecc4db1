"""Build the environment of Airflow's processes, the only link from Airflow to the stack.

https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import connections
from stack.ports import HOST, PortBook
from stack.secret_files import ADMIN, Secrets
from stack.settings import Settings
from warehouse_local.server import LOGIN

_LOCAL = Path(__file__).resolve().parents[1]
# Not inherited: bytecode caches save seconds at every start; the other variables are set for each part.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "AIRFLOW", "_AIRFLOW", "AWS_", "STACK_", "WAREHOUSE_DSN")


def base_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that a part inherits from the caller, with loopback excluded from proxies."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_NOT_INHERITED)}
    programs = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join([programs, kept.get("PATH", os.defpath)])
    kept["PYTHONUNBUFFERED"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [kept.get(name), HOST, "localhost"]))
    return kept


def local_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the base environment with local/ on PYTHONPATH."""
    return {**base_environment(environ), "PYTHONPATH": str(_LOCAL)}


def connection_variables(
    ports: PortBook, values: Secrets, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Build the AIRFLOW_CONN_* variables: the caller's connections, and the local servers for the rest."""
    url = {part: f"http://{HOST}:{ports.get(part)}" for part in ("s3", "personalize", "braze")}
    local = {
        connections.AWS: connections.aws_connection(url["s3"], url["personalize"]),
        connections.WAREHOUSE: connections.warehouse_connection(
            HOST, ports.get("postgres"), LOGIN, values.postgres_password, "warehouse"
        ),
        connections.BRAZE: connections.braze_connection(url["braze"], values.braze_api_key),
    }
    replaced = connections.replaced_by_caller(environ)
    others = {
        name: value
        for name, value in environ.items()
        if name.startswith("AIRFLOW_CONN_") and name not in local
    }
    own = ",".join(connections.digest(value) for name, value in local.items() if name not in replaced)
    return {**others, **local, **replaced, connections.OWN: own}


def airflow_variables(
    settings: Settings, ports: PortBook, values: Secrets, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Build all variables of Airflow, for its processes, its command line and `stack env`."""
    inherited = {
        name: value
        for name, value in environ.items()
        if name.startswith(("AIRFLOW__", "AIRFLOW_VAR_", "_AIRFLOW"))
    }
    return {
        **_preferences(settings),
        **inherited,
        **_structure(settings, ports, values),
        **connection_variables(ports, values, environ),
    }


def _preferences(settings: Settings) -> dict[str, str]:
    """Return the defaults that a caller's variable overrides."""
    return {
        "AIRFLOW__CORE__PARALLELISM": "4",  # LocalExecutor forks this many workers at start; 32 by default
        # A changed DAG file appears within seconds, a program file within 15; Airflow's defaults, 300 and 30, are for
        # production. Parsing all files every five seconds took a third of two cores.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        # recsync's own settings. Local jobs take seconds, but the scheduler considers a task killed if its wait ends
        # before the scheduler has recorded the start of that wait.
        "AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS": "8",
        "AIRFLOW__RECSYNC__BUCKET": settings.bucket,
        # personalize_local checks only the format of a role; this is its account.
        "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN": "arn:aws:iam::000000000000:role/personalize-local",
    }


def _structure(settings: Settings, ports: PortBook, values: Secrets) -> dict[str, str]:
    """Return the variables that belong to this stack and that a caller cannot override."""
    api = f"http://{HOST}:{ports.get('airflow')}"
    database = f"{LOGIN}:{values.postgres_password}@{HOST}:{ports.get('postgres')}/airflow"
    return {
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": values.airflow_fernet_key,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(
            settings.home / "secrets" / "airflow_passwords.json"
        ),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(ports.get("airflow")),
        "AIRFLOW__API__BASE_URL": api,
        "AIRFLOW__API__SECRET_KEY": values.airflow_secret_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": values.airflow_jwt_secret,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.airflow_home / "logs"),
    }
