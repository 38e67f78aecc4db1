"""Run an Airflow component that forks for each task or DAG file, with the packages they need already imported.

Without this each task imports them anew, which is half of its CPU time. recsync's stages are not among them: each task
reads those from disk, so that an edit takes effect at once.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module

PRELOADED = (
    "aiohttp",
    "airflow.providers.amazon.aws.operators.base_aws",
    "airflow.providers.common.sql.hooks.sql",
    "boto3",
    "duckdb",
    "psycopg",
    "pyarrow.dataset",  # imports pandas, which takes longest
    "sqlglot",
)

if __name__ == "__main__":
    airflow = import_module("airflow.__main__")  # first of all: it settles Airflow's configuration
    for name in PRELOADED:
        import_module(name)
    # Each AWS client of Airflow looks at the call stack for its user agent, and Python's first look resolves the paths
    # of all modules: 0.3 s of CPU. Processes forked from here keep what this one has resolved.
    inspect.stack()
    sys.exit(airflow.main())
