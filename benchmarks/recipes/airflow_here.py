"""An Airflow of this process's own: nothing of another one is read or changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def own_airflow(folder: Path, root: Path) -> None:
    """Point Airflow and the imports at this checkout; to be called before Airflow is imported.

    :param folder: takes Airflow's home, with its database and logs.
    """
    sys.path[:0] = [str(root / "plugins"), str(root / "local"), str(root / "tests" / "e2e")]
    for name in [n for n in os.environ if n.startswith(("AIRFLOW_CONN_", "AWS_ENDPOINT_URL"))]:
        del os.environ[name]
    home = folder / "airflow"
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home / 'airflow.db'}",
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(root / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(root / "plugins"),
        AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
        AIRFLOW__RECSYNC__WAITER_DELAY_SECONDS="1",
        AIRFLOW__RECSYNC__INCLUDE_FOLDER=str(folder / "include"),
        # A run must never reach a real account by accident.
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
    )
    home.mkdir(parents=True, exist_ok=True)
