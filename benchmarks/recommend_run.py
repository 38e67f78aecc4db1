"""The experiment on a whole recommend run: time and memory of each step for many people."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.places import ROOT
from benchmarks.settings import Settings
from benchmarks.tables import number, table

_STEP = re.compile(r"^([a-z_]+ ?\d*): (\{.*\})$")


def run(settings: Settings) -> Iterator[str]:
    """Yield the table of steps, and what was compared."""
    yield (
        f"{settings.run_people:,} people made by DuckDB, three batch jobs, rules about stock, purchases and brands. "
        "Each step is a process of its own; memory is its peak, imports included. Lists "
        "are built by one task (`alone`) and by two; `python -m benchmarks.many_people` measures other sizes, and "
        "Celery workers with `--celery`."
    )
    command = [sys.executable, "-m", "benchmarks.many_people", "--people", str(settings.run_people)]
    if settings.run_celery:
        command.append("--celery")
    path = os.pathsep.join(str(ROOT / name) for name in ("plugins", "local", "."))
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    steps = [(found[1].strip(), json.loads(found[2])) for line in lines if (found := _STEP.match(line))]
    yield table(
        ["step", "s", "CPU s", "peak MB"],
        [
            [
                name,
                number(each["seconds"]),
                number(each["cpu_seconds"]),
                f"{each['peak_mb']:,}",
            ]
            for name, each in steps
        ],
    )
    # What it says beside the steps; of a failure all of it.
    rest = [line for line in lines if not _STEP.match(line)]
    yield (
        "\n".join(f"- {line}" for line in rest if line) if done.returncode == 0 else "failed:\n" + done.stdout
    )
