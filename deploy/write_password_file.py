"""Write the password file that Airflow's SimpleAuthManager reads, from the variable AIRFLOW_ADMIN_PASSWORD.

It runs in the container of the API server, before the server starts, so that Airflow neither makes up a password
nor prints one to the log.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/auth-manager/simple/index.html
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PASSWORD = "AIRFLOW_ADMIN_PASSWORD"  # ruff: ignore[hardcoded-password-string] - the name of a variable, no secret
FILE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"


def main() -> int:
    """Write the file anew, readable by its owner only; exit status 1 when a variable is missing."""
    missing = [name for name in (PASSWORD, FILE, USERS) if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"{', '.join(missing)} must be set\n")
        return 1
    path = Path(os.environ[FILE])
    path.unlink(missing_ok=True)
    user = os.environ[USERS].partition(":")[0]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({user: os.environ[PASSWORD]}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
