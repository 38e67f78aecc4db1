"""Read the stack's folders and names from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """Hold the stack's folders and names; all files are written below `home`."""

    home: Path
    dags: Path
    plugins: Path
    bucket: str
    time_scale: str | None
    with_sample: bool

    @property
    def logs(self) -> Path:
        """Return the folder with one log file per part."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Return the folder with one record per running process."""
        return self.home / "run"

    @property
    def airflow_home(self) -> Path:
        """Return the folder of Airflow's configuration and task logs."""
        return self.home / "airflow"


VARIABLES = {
    "STACK_HOME": "folder for all state (default: .stack in the checkout)",
    "STACK_DAGS": "Airflow's dags folder (default: dags in the checkout)",
    "STACK_PLUGINS": "Airflow's plugins folder (default: plugins in the checkout)",
    "STACK_BUCKET": "S3 bucket, created at start (default: recsync-local)",
    "STACK_TIME_SCALE": "passed to personalize_local --time-scale (default: its own)",
    "STACK_PATIENCE": "times how long the commands wait for Airflow, for a slow machine (default: 1)",
    "STACK_SAMPLE": "0 leaves the warehouse without the sample data (default: 1)",
}


def read_settings(environ: Mapping[str, str] = os.environ, repo: Path = REPO) -> Settings:
    """Read the STACK_* variables, with defaults inside the checkout `repo`."""

    def folder(name: str, default: str) -> Path:
        return Path(environ.get(name) or repo / default).expanduser().resolve()

    return Settings(
        home=folder("STACK_HOME", ".stack"),
        dags=folder("STACK_DAGS", "dags"),
        plugins=folder("STACK_PLUGINS", "plugins"),
        bucket=environ.get("STACK_BUCKET") or "recsync-local",
        time_scale=environ.get("STACK_TIME_SCALE") or None,
        with_sample=environ.get("STACK_SAMPLE", "1") not in {"0", "false", "no"},
    )
