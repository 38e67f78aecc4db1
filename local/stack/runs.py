"""Trigger, backfill and follow the DAG runs of one program."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import] - runs Airflow's own command line
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stack.airflow_api import AirflowApi, Json, wait_for
from stack.errors import StackError

# A FULL training of the sample takes under two minutes; larger data may take much longer.
RUN_TIMEOUT_SECONDS = 3 * 3600.0
# The scheduler creates asset-triggered runs within seconds.
HANDOVER_TIMEOUT_SECONDS = 180.0
BACKFILL_WAITS_SECONDS = (10, 20, 30, 60)
LOG_LINES = 25
FAILED = "Task failed with exception"
# The asset that starts a stage.
HANDOVERS = {"recommend": "champion", "push": "recommendations"}
# With update_by: events, this asset starts recommend instead of a champion.
STREAMED = "streamed"
SKIPPING = "Skipping task."  # Airflow's message before the reason


class ChainError(StackError):
    """A run of the chain failed; the message has the task and the end of its log."""


@dataclass
class ProgramRuns:
    """The runs of one program's DAGs in one Airflow.

    :param environ: environment of Airflow's command line.
    :param say: prints one line of progress.
    """

    api: AirflowApi
    program: str
    environ: Mapping[str, str]
    say: Callable[[str], None]
    runs: dict[str, Json] = field(default_factory=dict)
    """The last followed run, by stage."""

    def dag_id(self, stage: str) -> str:
        """Return the DAG id of a stage."""
        return f"{self.program}_{stage}"

    def unpause(self, *stages: str) -> None:
        """Unpause the DAGs of some stages."""
        for stage in stages:
            self.api.unpause(self.dag_id(stage))

    def run(self, stage: str, conf: Mapping[str, Any]) -> Json:
        """Trigger a run and follow it."""
        run = self.api.trigger(self.dag_id(stage), conf)
        return self.follow(stage, str(run["dag_run_id"]))

    def follow(self, stage: str, run_id: str) -> Json:
        """Wait for a run and print each finished task.

        :raises ChainError: when the run failed.
        """
        dag_id, reported = self.dag_id(stage), set[tuple[str, int]]()
        self.say(f"{dag_id}: run {run_id}")

        def report(_: Json) -> None:
            for task in self.api.task_instances(dag_id, run_id):
                key = (task["task_id"], task["map_index"])
                if task["state"] in ("success", "failed") and key not in reported:
                    reported.add(key)
                    label = f"[{task['rendered_map_index']}]" if task.get("rendered_map_index") else ""
                    self.say(f"  {task['task_id']}{label}: {task['state']}")

        run = self.api.wait_for_run(
            dag_id, run_id, timeout_seconds=RUN_TIMEOUT_SECONDS, poll_seconds=2.0, on_poll=report
        )
        if run["state"] == "failed":
            raise self._failure(stage, run)
        self.runs[stage] = run
        return run

    def handovers(self, stage: str, source: Json) -> list[Json]:
        """Return the asset events of a run that start a stage of this program."""
        events = self.api.asset_events(
            source_dag_id=str(source["dag_id"]), source_run_id=str(source["dag_run_id"])
        )
        names = {f"{self.program}_{HANDOVERS[stage]}"}
        streamed = f"{self.program}_{STREAMED}"
        # A program may leave streamed rows to the schedule of recommend.
        if stage == "recommend" and streamed in str(
            self.api.dag_details(self.dag_id(stage)).get("asset_expression")
        ):
            names.add(streamed)
        return [event for event in events if event["name"] in names]

    def follow_handover(self, stage: str, source: Json, consumed_it: Callable[[Json], bool]) -> Json:
        """Follow the runs of a stage, oldest first, to the one that consumed the output of `source`.

        A run that was active at the asset event may have consumed it or left it to the next run.

        :raises ChainError: when one of them failed.
        """
        followed = set[str]()
        events = self.handovers(stage, source)
        event_time = min((e["timestamp"] for e in events), key=parse_time, default=source["start_date"])

        def next_run() -> Json | None:
            # A run that ended before the event cannot have consumed it, so its failure is not the chain's.
            return next(
                (
                    run
                    for run in self.api.dag_runs(self.dag_id(stage))
                    if run["dag_run_id"] not in followed
                    and (not run["end_date"] or parse_time(run["end_date"]) > parse_time(event_time))
                ),
                None,
            )

        while True:
            run = wait_for(
                next_run, f"{self.dag_id(stage)} to start", timeout_seconds=HANDOVER_TIMEOUT_SECONDS
            )
            followed.add(run["dag_run_id"])
            done = self.follow(stage, run["dag_run_id"])
            if consumed_it(done):
                return done

    def backfill(self, starts: list[datetime]) -> None:
        """Run ``airflow backfill create`` from the first to the last interval and wait for the runs."""
        program = str(Path(sys.executable).parent / "airflow")
        span = ["--from-date", starts[0].isoformat(), "--to-date", starts[-1].isoformat()]
        command = [
            program,
            "backfill",
            "create",
            "--dag-id",
            self.dag_id("export"),
            *span,
            "--max-active-runs",
            "4",
        ]
        for wait_seconds in (*BACKFILL_WAITS_SECONDS, None):
            done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true] - our own arguments, no shell
                command, env=dict(self.environ), capture_output=True, text=True, check=False
            )
            # Airflow reports a backfill as running for a while after its last run has ended.
            if not done.returncode or "AlreadyRunningBackfill" not in done.stderr or wait_seconds is None:
                break
            time.sleep(wait_seconds)
        # After the backfill, because a scheduled run also exports missing intervals that have no run of their own.
        self.unpause("export")
        if done.returncode:
            raise ChainError(f"airflow backfill create failed: {(done.stderr or done.stdout)[-2000:]}")
        wait_for(
            lambda: self._are_exported(set(starts)),
            f"{len(starts)} export runs",
            timeout_seconds=RUN_TIMEOUT_SECONDS,
            poll_seconds=2.0,
        )

    def exports(self, first: datetime) -> list[Json]:
        """Return the successful export runs of intervals from ``first`` on."""
        runs = self.api.dag_runs(self.dag_id("export"), state="success")
        return [
            run
            for run in runs
            if run["logical_date"] and datetime.fromisoformat(run["logical_date"]) >= first
        ]

    def exported_intervals(self) -> set[datetime]:
        return {
            datetime.fromisoformat(run["logical_date"])
            for run in self.exports(datetime.min.replace(tzinfo=UTC))
        }

    def _are_exported(self, wanted: set[datetime]) -> bool:
        for run in self.api.dag_runs(self.dag_id("export"), state="failed"):
            if run["logical_date"] and datetime.fromisoformat(run["logical_date"]) in wanted:
                raise self._failure("export", run)
        return wanted <= self.exported_intervals()

    def skip_reason(self, stage: str, run: Json) -> str:
        """Return the reason in the log why the first task of a run was skipped."""
        dag_id, run_id = self.dag_id(stage), run["dag_run_id"]
        for task in self.api.task_instances(dag_id, run_id):
            if task["state"] == "skipped" and task["try_number"]:
                lines = self.api.log(dag_id, run_id, task["task_id"], task["try_number"])
                reported = [line.removeprefix(SKIPPING) for line in lines if line.startswith(SKIPPING)]
                return reported[-1].strip() if reported else f"see the log of {task['task_id']}"
        return "see Airflow"

    def _failure(self, stage: str, run: Json) -> ChainError:
        dag_id, run_id = self.dag_id(stage), run["dag_run_id"]
        failed = [t for t in self.api.task_instances(dag_id, run_id) if t["state"] == "failed"]
        texts = [f"{dag_id} failed (run {run_id})."]
        for task in failed[:3]:
            lines = self.api.log(
                dag_id, run_id, task["task_id"], task["try_number"], map_index=task["map_index"]
            )
            texts.append(
                f"--- {task['task_id']}, end of its log:\n" + "\n".join(_failure_lines(lines)[-LOG_LINES:])
            )
        return ChainError("\n".join(texts))


def _failure_lines(lines: list[str]) -> list[str]:
    """Return the log from the exception on, without Airflow's group markers."""
    start = next((n for n, line in enumerate(lines) if line.startswith(FAILED)), 0)
    return [line for line in lines[start:] if not line.startswith("::")]


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
