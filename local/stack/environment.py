"""Build the environment of Airflow's processes, which is all that Airflow knows of the stack.

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
# Not for children: bytecode caches save seconds at every start; the rest is set anew for each part.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "AIRFLOW", "_AIRFLOW", "AWS_", "STACK_", "WAREHOUSE_DSN")


def base_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Keep what a part may inherit of the caller's environment, and let it reach loopback past any proxy."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_NOT_INHERITED)}
    programs = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join([programs, kept.get("PATH", os.defpath)])
    kept["PYTHONUNBUFFERED"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [kept.get(name), HOST, "localhost"]))
    return kept


def local_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Extend the base environment so that the packages of local/ can be run."""
    return {**base_environment(environ), "PYTHONPATH": str(_LOCAL)}


def connection_variables(
    ports: PortBook, values: Secrets, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Build the AIRFLOW_CONN_* variables: the caller's own first, the local servers for the rest."""
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
    """Build every variable Airflow is run with; the same for its processes, its command line and `stack env`."""
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
    """List what a caller may set otherwise by a variable of the same name."""
    return {
        "AIRFLOW__CORE__PARALLELISM": "4",  # LocalExecutor forks this many workers at start; 32 by default
        # A changed DAG file shows within seconds, a program file after a quarter of a minute; Airflow's own 300 and 30
        # are meant for production. Reading all of them every five seconds took a third of two cores.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        # The project's own settings, which Airflow hands through. Local jobs take seconds, not hours; but a wait
        # that ends before the scheduler has noted that it began makes it take the task for killed.
        "AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS": "8",
        "AIRFLOW__RECSYNC__BUCKET": settings.bucket,
        # personalize_local checks the form of a role only; its account is this one.
        "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN": "arn:aws:iam::000000000000:role/personalize-local",
    }


def _structure(settings: Settings, ports: PortBook, values: Secrets) -> dict[str, str]:
    """List what makes this Airflow this stack's; a stray variable of another Airflow must not win."""
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
