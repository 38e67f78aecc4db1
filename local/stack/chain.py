"""Run one program's chain through Airflow's scheduler, and follow it from stage to stage."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import] - runs Airflow's own command line
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from croniter import croniter

from stack.airflow_api import AirflowApi, Json, wait_for
from stack.errors import StackError, WaitTimeoutError

STAGES = ("setup", "export", "train_full", "recommend", "push")
"""What every program has; train_update only those whose recipe trains in mode UPDATE."""
# The dag processor reads new files every few seconds here; a busy first start takes longer.
DAGS_TIMEOUT_SECONDS = 180.0
# A FULL training of the sample takes under two minutes; larger data of a person's own may take much longer.
RUN_TIMEOUT_SECONDS = 3 * 3600.0
# The scheduler makes asset-triggered runs within seconds.
HANDOVER_TIMEOUT_SECONDS = 180.0
# Longer gaps are cheaper to close by a FULL training than interval by interval.
MAX_INTERVALS = 48
# Files are read again every fifteen seconds here; a round of all of them takes some more.
REPARSE_SECONDS = 40.0
BACKFILL_WAITS_SECONDS = (10, 20, 30, 60)
LOG_LINES = 25
FAILED = "Task failed with exception"
SKIPPING = "Skipping task."  # Airflow's own words, before the reason


class ChainError(StackError):
    """A run of the chain failed; the text holds the task and the end of its log."""


@dataclass
class Chain:
    """One program's DAGs in one Airflow.

    :param environ: environment of Airflow's command line.
    :param say: prints one line of progress.
    """

    api: AirflowApi
    program: str
    environ: Mapping[str, str]
    say: Callable[[str], None]
    runs: dict[str, Json] = field(default_factory=dict)
    """The last run that was followed, by stage."""

    def dag_id(self, stage: str) -> str:
        """Name the DAG of a stage."""
        return f"{self.program}_{stage}"

    def wait_for_dags(self) -> None:
        """Wait until Airflow knows the program.

        :raises ChainError: when its program file is broken, with every problem.
        """
        wait_for(self._dags, "Airflow to read the DAG files", timeout_seconds=DAGS_TIMEOUT_SECONDS)
        missing = f"the DAGs of program {self.program}: is there an include/programs/{self.program}.yaml?"
        wait_for(lambda: self._dags(self.program), missing, timeout_seconds=REPARSE_SECONDS)
        wait_for(
            lambda: {self.dag_id(stage) for stage in STAGES} <= self._dags(self.program).keys(),
            f"all DAGs of program {self.program}",
            timeout_seconds=DAGS_TIMEOUT_SECONDS,
        )
        # The DAG files are read one by one, so a DAG that is not there yet may still come.
        with suppress(WaitTimeoutError):
            wait_for(lambda: self.trains_updates, "train_update", timeout_seconds=REPARSE_SECONDS)
        self._check_sound()

    @property
    def trains_updates(self) -> bool:
        """Tell whether the program's recipe trains in mode UPDATE."""
        return self.api.dag(self.dag_id("train_update")) is not None

    def _check_sound(self) -> None:
        """Give Airflow the time to read a program file that was mended just now."""
        deadline = time.monotonic() + REPARSE_SECONDS
        while broken := [dag for dag in self._dags(self.program).values() if _is_broken(dag)]:
            if time.monotonic() >= deadline:
                raise ChainError(str(self.api.dag_details(broken[0]["dag_id"]).get("doc_md")))
            time.sleep(2)

    def _dags(self, tag: str = "recsync") -> dict[str, Json]:
        """List the DAGs with a tag.

        :raises ChainError: when a DAG file cannot be read.
        """
        errors = self.api.import_errors()
        if errors:
            raise ChainError(
                "\n".join(f"{e['filename']} cannot be read:\n{e['stack_trace']}" for e in errors)
            )
        return {dag["dag_id"]: dag for dag in self.api.dags(tag=tag)}

    def unpause(self, *stages: str) -> None:
        """Let the runs of some stages start."""
        for stage in stages:
            self.api.unpause(self.dag_id(stage))

    def has_champion(self) -> bool:
        """Tell whether a training was promoted before."""
        return any(
            self._promoted(stage, run)
            for stage in ("train_full", *(("train_update",) if self.trains_updates else ()))
            for run in self.api.dag_runs(self.dag_id(stage), state="success")
        )

    def full(self, until: datetime | None = None) -> Json:
        """Train FULL on everything before ``until`` (default: the last full hour), and follow it to Braze."""
        self.unpause("train_full", "recommend", "push")
        conf = {"until": until.isoformat()} if until else {}
        self._run("train_full", conf)
        return self._deliver_after("train_full")

    def hourly(self) -> Json:
        """Export the intervals that are over and not exported yet, train UPDATE on them, and follow it to Braze.

        With a recipe that knows no UPDATE the last FULL training recommends anew.
        """
        self.unpause("recommend", "push")
        self._export_closed_intervals()
        self.unpause("export")
        if self.trains_updates:
            # After the exports, so that one update takes all their hours together.
            self.unpause("train_update")
            if self._update():
                return self._deliver_after("train_update")
        self._run("recommend", {})
        return self._push()

    def leave_to_schedule(self) -> None:
        """Let exports go on by their schedule, and what follows them by itself."""
        self.unpause("export", *(("train_update",) if self.trains_updates else ()))

    def _update(self) -> bool:
        """Follow the updates that the schedule has started, then one of our own; tell whether one was promoted.

        Whichever comes first takes everything that is pending, and the others skip.
        """
        going = [
            r for r in self.api.dag_runs(self.dag_id("train_update")) if r["state"] in ("queued", "running")
        ]
        promoted: Json | None = None
        for run_id in [run["dag_run_id"] for run in going] + [None]:
            run = self._follow("train_update", run_id) if run_id else self._run("train_update", {})
            if self._promoted("train_update", run):
                promoted = run
            else:
                self.say(f"  skipped: {self.skip_reason('train_update', run)}")
        if promoted:
            self.runs["train_update"] = promoted
        return promoted is not None

    def _export_closed_intervals(self) -> None:
        cron = str((self.api.dag(self.dag_id("export")) or {}).get("timetable_summary"))
        if not croniter.is_valid(cron):
            self.say(f"{self.dag_id('export')} has no schedule: nothing is exported hourly")
            return
        missing = self._missing_intervals(cron)
        if len(missing) > MAX_INTERVALS:
            raise ChainError(
                f"{len(missing)} intervals since {missing[0]:%Y-%m-%d %H:%M} UTC were not exported. Train on all of it "
                f"at once (make run PROGRAM={self.program} MODE=full), or backfill {self.dag_id('export')}."
            )
        if missing:
            self.say(
                f"{self.dag_id('export')}: backfill of {len(missing)} interval(s) from {missing[0]:%Y-%m-%d %H:%M} UTC"
            )
            self.backfill(missing)

    def _missing_intervals(self, cron: str) -> list[datetime]:
        """List the starts of the intervals that are over, come after the last FULL data, and have no export."""
        fulls = self.api.dag_runs(self.dag_id("train_full"), state="success")
        start = datetime.fromisoformat(self.full_plan(fulls[-1])["until"])
        ticks, found, done = (
            croniter(cron, start - timedelta(microseconds=1)),
            list[datetime](),
            self._exported(),
        )
        start = ticks.get_next(datetime)
        while (end := ticks.get_next(datetime)) <= datetime.now(UTC):
            if start not in done:
                found.append(start)
            start = end
        return found

    def backfill(self, starts: list[datetime]) -> None:
        """Run ``airflow backfill create`` over intervals, oldest first, and wait for them."""
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
            done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true] - our own words, no shell
                command, env=dict(self.environ), capture_output=True, text=True, check=False
            )
            # A backfill counts as running for a while after its last run has ended.
            if not done.returncode or "AlreadyRunningBackfill" not in done.stderr or wait_seconds is None:
                break
            time.sleep(wait_seconds)
        # After the backfill: a scheduled run exports what is missing too, unless a run of its own waits for it already.
        self.unpause("export")
        if done.returncode:
            raise ChainError(f"airflow backfill create failed: {(done.stderr or done.stdout)[-2000:]}")
        wait_for(
            lambda: self._are_exported(set(starts)),
            f"{len(starts)} export runs",
            timeout_seconds=RUN_TIMEOUT_SECONDS,
            poll_seconds=2.0,
        )

    def _are_exported(self, wanted: set[datetime]) -> bool:
        for run in self.api.dag_runs(self.dag_id("export"), state="failed"):
            if run["logical_date"] and datetime.fromisoformat(run["logical_date"]) in wanted:
                raise self._failure("export", run)
        return wanted <= self._exported()

    def exports(self, first: datetime) -> list[Json]:
        """List the successful export runs of intervals that start at ``first`` or later."""
        runs = self.api.dag_runs(self.dag_id("export"), state="success")
        return [
            run
            for run in runs
            if run["logical_date"] and datetime.fromisoformat(run["logical_date"]) >= first
        ]

    def _exported(self) -> set[datetime]:
        return {
            datetime.fromisoformat(run["logical_date"])
            for run in self.exports(datetime.min.replace(tzinfo=UTC))
        }

    def full_plan(self, run: Json) -> Json:
        """Read what a FULL run had planned."""
        return dict(self.api.xcom(self.dag_id("train_full"), run["dag_run_id"], "plan"))

    def _deliver_after(self, stage: str) -> Json:
        """Follow the champion's asset event to recommend, and the recommendations' to push."""
        source = self.runs[stage]
        source_run = source["dag_run_id"]
        if self.api.asset_events(source_dag_id=self.dag_id(stage), source_run_id=source_run):
            champion = self.api.xcom(self.dag_id(stage), source_run, "promote")["solution_version_arn"]

            def takes_it(run: Json) -> bool:
                prepared = self.api.xcom(self.dag_id("recommend"), run["dag_run_id"], "prepare") or {}
                return prepared.get("solution_version_arn") == champion or _began_after(run, source)

            self._follow_handover("recommend", source, takes_it)
        else:  # this program recommends on its schedule only
            self._run("recommend", {})
        return self._push()

    def _push(self) -> Json:
        recommend = self.runs["recommend"]
        published = self.api.xcom(self.dag_id("recommend"), recommend["dag_run_id"], "publish")

        def takes_it(run: Json) -> bool:
            planned = self.api.xcom(self.dag_id("push"), run["dag_run_id"], "plan") or {}
            # A push takes the newest recommendations; names of runs sort by time.
            return bool(planned.get("recommendations", "") >= published["run"])

        run = self._follow_handover("push", recommend, takes_it)
        report, verification = (
            self.api.xcom(self.dag_id("push"), str(run["dag_run_id"]), task) for task in ("deliver", "verify")
        )
        if report is None:
            raise ChainError(f"{self.dag_id('push')} was skipped: {self.skip_reason('push', run)}")
        return {**report, "verification": verification or {}}

    def _follow_handover(self, stage: str, source: Json, takes_it: Callable[[Json], bool]) -> Json:
        """Follow the runs of a stage, oldest first, to the one that took what a run of the stage before handed over.

        A run that was active at that moment may have taken it, or left it to the run after it.

        :raises ChainError: when one of them failed.
        """
        followed = set[str]()
        events = self.api.asset_events(
            source_dag_id=str(source["dag_id"]), source_run_id=str(source["dag_run_id"])
        )
        handed_over = min((e["timestamp"] for e in events), key=_moment, default=source["start_date"])

        def next_run() -> Json | None:
            # A run that ended before the event cannot have consumed it, so its failure says nothing about the chain.
            return next(
                (
                    run
                    for run in self.api.dag_runs(self.dag_id(stage))
                    if run["dag_run_id"] not in followed
                    and (not run["end_date"] or _moment(run["end_date"]) > _moment(handed_over))
                ),
                None,
            )

        while True:
            run = wait_for(
                next_run, f"{self.dag_id(stage)} to start", timeout_seconds=HANDOVER_TIMEOUT_SECONDS
            )
            followed.add(run["dag_run_id"])
            done = self._follow(stage, run["dag_run_id"])
            if takes_it(done):
                return done

    def _run(self, stage: str, conf: Mapping[str, Any]) -> Json:
        run = self.api.trigger(self.dag_id(stage), conf)
        return self._follow(stage, str(run["dag_run_id"]))

    def _follow(self, stage: str, run_id: str) -> Json:
        """Wait for a run, saying each task as it ends.

        :raises ChainError: when it failed.
        """
        dag_id, told = self.dag_id(stage), set[tuple[str, int]]()
        self.say(f"{dag_id}: run {run_id}")

        def tell(_: Json) -> None:
            for task in self.api.task_instances(dag_id, run_id):
                key = (task["task_id"], task["map_index"])
                if task["state"] in ("success", "failed") and key not in told:
                    told.add(key)
                    label = f"[{task['rendered_map_index']}]" if task.get("rendered_map_index") else ""
                    self.say(f"  {task['task_id']}{label}: {task['state']}")

        run = self.api.wait_for_run(
            dag_id, run_id, timeout_seconds=RUN_TIMEOUT_SECONDS, poll_seconds=2.0, on_poll=tell
        )
        if run["state"] == "failed":
            raise self._failure(stage, run)
        self.runs[stage] = run
        return run

    def _promoted(self, stage: str, run: Json) -> bool:
        return self.api.xcom(self.dag_id(stage), run["dag_run_id"], "promote") is not None

    def skip_reason(self, stage: str, run: Json) -> str:
        """Read from the log why the first task of a run was skipped."""
        dag_id, run_id = self.dag_id(stage), run["dag_run_id"]
        for task in self.api.task_instances(dag_id, run_id):
            if task["state"] == "skipped" and task["try_number"]:
                lines = self.api.log(dag_id, run_id, task["task_id"], task["try_number"])
                told = [line.removeprefix(SKIPPING) for line in lines if line.startswith(SKIPPING)]
                return told[-1].strip() if told else f"see the log of {task['task_id']}"
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
                f"--- {task['task_id']}, end of its log:\n" + "\n".join(_telling(lines)[-LOG_LINES:])
            )
        return ChainError("\n".join(texts))


def _telling(lines: list[str]) -> list[str]:
    """Leave out of a task's log what Airflow says about itself."""
    start = next((n for n, line in enumerate(lines) if line.startswith(FAILED)), 0)
    return [line for line in lines[start:] if not line.startswith("::")]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _began_after(run: Json, other: Json) -> bool:
    return _moment(run["start_date"]) >= _moment(other["end_date"])


def _is_broken(dag: Json) -> bool:
    """Tell whether a DAG stands in for a program whose file is broken."""
    return "broken" in {tag["name"] for tag in dag["tags"]}
