"""Deliver any batch output through the push DAG, in process: ``python -m recsync.push_output PROGRAM URI``.

``make push`` runs this. It needs Airflow's connections and settings in the environment but no scheduler: the DAG runs
in a child process, on a metadata database that may be a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own commands
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsync.context import StageContext
from recsync.errors import DELIBERATE, FatalError
from recsync.push.store import Deliveries
from recsync.recommend.recommend import publish_output


def main() -> int:
    """Publish the output as recommendations, push them, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m recsync.push_output", description=__doc__)
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "recommendations",
        nargs="?",
        help="folder or file of .out lines, or s3://bucket/prefix; without it, the newest published recommendations",
    )
    parser.add_argument("--dry-run", action="store_true", help="plan only, send nothing")
    parser.add_argument("--resync", action="store_true", help="write every user again")
    parser.add_argument(
        "--allow-removals", action="store_true", help="users may lose their lists, however many"
    )
    parser.add_argument("--report", type=Path, help="write the delivery's report here, as JSON")
    arguments = parser.parse_args()
    try:
        conf = {name: getattr(arguments, name) for name in ("dry_run", "resync", "allow_removals")}
        if arguments.recommendations:
            manifest = publish_output(arguments.program, arguments.recommendations)
            print(
                f"Published {manifest.lists:,} lists for {manifest.users:,} people as {manifest.run}\n"
                f"{manifest.rules_text}",
                flush=True,
            )
            conf["recommendations"] = manifest.run
        airflow = str(Path(sys.executable).parent / "airflow")
        command = [airflow, "dags", "test", f"{arguments.program}_push", "--conf", json.dumps(conf)]
        # Our own command; the program's name was just read from its file.
        if subprocess.run(command, check=False).returncode:  # ruff: ignore[subprocess-without-shell-equals-true]
            raise FatalError(f"The run of {arguments.program}_push failed; its log is above.")
        if arguments.report:
            arguments.report.write_text(json.dumps(_report(arguments.program)))
    except DELIBERATE as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _report(program: str) -> dict[str, Any]:
    """Return the report of the newest delivery; of a dry run, its plan."""
    deliveries = StageContext.of(program).store(Deliveries)
    delivery = deliveries.newest()
    report = deliveries.report(delivery, "report")
    if report is None:
        plan = deliveries.plan(delivery)
        return {"planned": asdict(plan.estimate), "brake": plan.brake}
    return {**report, "verification": deliveries.report(delivery, "verification") or {}}


if __name__ == "__main__":
    sys.exit(main())
