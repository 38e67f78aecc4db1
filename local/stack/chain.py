"""Run one program's stages through Airflow's scheduler, in their order."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime

from stack.airflow_api import Json, wait_for
from stack.errors import WaitTimeoutError
from stack.runs import ChainError, ProgramRuns, parse_time

STAGES = ("setup", "export", "train_full", "recommend", "push")
"""The stages of a program with data of its own; train_update exists for recipes with UPDATE and with streamed rows."""
# Of a program that uses the data, or the model too, of another one: the tag of its DAGs -> its stages.
SHARED_STAGES = {"model: ": ("recommend", "push"), "data: ": ("setup", "train_full", "recommend", "push")}
# The dag processor finds new files every few seconds here; a busy first start takes longer.
DAGS_TIMEOUT_SECONDS = 180.0
# For longer gaps, a FULL training is cheaper than a backfill.
MAX_INTERVALS = 48
# Files are parsed again every fifteen seconds here; a round of all files takes longer.
REPARSE_SECONDS = 40.0


class Chain(ProgramRuns):
    """The chain of one program's stages, from export to push."""

    def wait_for_dags(self) -> None:
        """Wait until Airflow knows the program.

        :raises ChainError: when its program file is broken, with every problem.
        """
        wait_for(self._dags, "Airflow to read the DAG files", timeout_seconds=DAGS_TIMEOUT_SECONDS)
        missing = f"the DAGs of program {self.program}: is there an include/programs/{self.program}.yaml?"
        wait_for(lambda: self._dags(self.program), missing, timeout_seconds=REPARSE_SECONDS)
        wait_for(
            lambda: {self.dag_id(stage) for stage in self.stages} <= self._dags(self.program).keys(),
            f"all DAGs of program {self.program}",
            timeout_seconds=DAGS_TIMEOUT_SECONDS,
        )
        # Airflow parses the DAG files one by one, so the last DAG may appear later.
        with suppress(WaitTimeoutError):
            if self.stages != SHARED_STAGES["model: "]:
                wait_for(lambda: self.trains_updates, "train_update", timeout_seconds=REPARSE_SECONDS)
        self._check_sound()

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the stages that the program has."""
        return next((stages for mark, stages in SHARED_STAGES.items() if self._tagged(mark)), STAGES)

    def _tagged(self, mark: str) -> str | None:
        """Return the program that a tag of the DAGs names; None without such a tag."""
        tags = {tag["name"] for dag in self._dags(self.program).values() for tag in dag["tags"]}
        return next((tag.removeprefix(mark) for tag in tags if tag.startswith(mark)), None)

    @property
    def trains_updates(self) -> bool:
        """Return whether the program's recipe trains in mode UPDATE."""
        return self.api.dag(self.dag_id("train_update")) is not None

    def _check_sound(self) -> None:
        """Allow Airflow time to parse a program file that was just corrected."""
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

    def has_champion(self) -> bool:
        """Return whether a training was promoted before."""
        trains = ("train_full",) if "train_full" in self.stages else ()
        return any(
            self._promoted(stage, run)
            for stage in (*trains, *(("train_update",) if self.trains_updates else ()))
            for run in self.api.dag_runs(self.dag_id(stage), state="success")
        )

    def full(self, until: datetime | None = None) -> Json:
        """Train FULL on all data before ``until`` (default: the last full hour) and follow it to the push."""
        if "export" not in self.stages:
            return self._shared()
        self.unpause("train_full", "recommend", "push")
        conf = {"until": until.isoformat()} if until else {}
        self.run("train_full", conf)
        return self._deliver_after("train_full")

    def hourly(self) -> Json:
        """Export the missing intervals, train UPDATE on them, and follow it to the push.

        A recipe without UPDATE recommends again from its last FULL training.
        """
        if "export" not in self.stages:
            return self._shared()
        self.unpause("recommend", "push")
        self._export_closed_intervals()
        self.unpause("export")
        if self.trains_updates:
            # After the exports, so that one update trains on all of them.
            self.unpause("train_update")
            if self._update():
                return self._deliver_after("train_update")
        self.run("recommend", {})
        return self._push()

    def _shared(self) -> Json:
        """Train on the imported data of the owner, unless the program uses another one's model, and deliver."""
        self.unpause(*(stage for stage in self.stages if stage != "setup"))
        if "train_full" in self.stages:
            trained = self.run("train_full", {})
            if self._promoted("train_full", trained):
                return self._deliver_after("train_full")
            reason = self.skip_reason("train_full", trained)
            self.say(f"  skipped: {reason}")
            if not self.has_champion():
                raise ChainError(
                    f"{self.program} has no model yet: {reason} Run the owner of its data first: "
                    f"make run PROGRAM={self._tagged('data: ')}"
                )
        self.run("recommend", {})
        return self._push()

    def lift(self) -> str:
        """Compare the arms of the program's experiment; return the verdict, empty without an experiment."""
        if self.api.dag(self.dag_id("lift")) is None:
            return ""
        self.unpause("lift")
        run = self.run("lift", {})
        return str(self.api.xcom(self.dag_id("lift"), run["dag_run_id"], "measure") or "")

    def leave_to_schedule(self) -> None:
        """Unpause the scheduled stages; the others follow by asset events."""
        exports = ("export",) if "export" in self.stages else ()
        self.unpause(*exports, *(("train_update",) if self.trains_updates else ()))

    def _update(self) -> bool:
        """Follow scheduled updates, then trigger another one; return whether one was promoted.

        The first of them trains on all pending exports, and the others skip.
        """
        active = [
            r for r in self.api.dag_runs(self.dag_id("train_update")) if r["state"] in ("queued", "running")
        ]
        promoted: Json | None = None
        for run_id in [run["dag_run_id"] for run in active] + [None]:
            run = self.follow("train_update", run_id) if run_id else self.run("train_update", {})
            if self._promoted("train_update", run):
                promoted = run
            else:
                self.say(f"  skipped: {self.skip_reason('train_update', run)}")
        if promoted:
            self.runs["train_update"] = promoted
        return promoted is not None

    def _export_closed_intervals(self) -> None:
        if not (self.api.dag(self.dag_id("export")) or {}).get("timetable_periodic"):
            self.say(f"{self.dag_id('export')} has no schedule: nothing is exported hourly")
            return
        missing = self._missing_intervals()
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

    def _missing_intervals(self) -> list[datetime]:
        """Return the starts of closed intervals after the last FULL data without an export.

        Airflow says where intervals begin, because crons may be those of a time zone. The last one goes on.
        """
        fulls = self.api.dag_runs(self.dag_id("train_full"), state="success")
        start = datetime.fromisoformat(self.full_plan(fulls[-1])["until"])
        starts, done = (
            self.api.backfill_dates(self.dag_id("export"), start, datetime.now(UTC)),
            self.exported_intervals(),
        )
        return [each for each in starts[:-1] if each not in done]

    def full_plan(self, run: Json) -> Json:
        """Return the plan of a FULL run."""
        return dict(self.api.xcom(self.dag_id("train_full"), run["dag_run_id"], "plan"))

    def _deliver_after(self, stage: str) -> Json:
        """Follow the asset event of the champion to recommend, then that of the recommendations to push."""
        source = self.runs[stage]
        source_run = source["dag_run_id"]
        if self.handovers("recommend", source):
            # A run that streams rows makes no champion.
            promoted = self.api.xcom(self.dag_id(stage), source_run, "promote") or {}
            champion = promoted.get("solution_version_arn")

            def consumed_it(run: Json) -> bool:
                prepared = self.api.xcom(self.dag_id("recommend"), run["dag_run_id"], "prepare", "plan") or {}
                is_of_champion = champion and prepared.get("solution_version_arn") == champion
                return bool(is_of_champion) or _began_after(run, source)

            self.follow_handover("recommend", source, consumed_it)
        else:  # this program recommends on its schedule only
            self.run("recommend", {})
        return self._push()

    def _push(self) -> Json:
        recommend = self.runs["recommend"]
        published = self.api.xcom(self.dag_id("recommend"), recommend["dag_run_id"], "publish")

        def consumed_it(run: Json) -> bool:
            planned = self.api.xcom(self.dag_id("push"), run["dag_run_id"], "plan") or {}
            # A push uses the newest recommendations; run names sort by time.
            return bool(planned.get("recommendations", "") >= published["run"])

        run = self.follow_handover("push", recommend, consumed_it)
        report, verification = (
            self.api.xcom(self.dag_id("push"), str(run["dag_run_id"]), task) for task in ("deliver", "verify")
        )
        if report is None:
            raise ChainError(f"{self.dag_id('push')} was skipped: {self.skip_reason('push', run)}")
        return {**report, "verification": verification or {}}

    def _promoted(self, stage: str, run: Json) -> bool:
        """Return whether a run made a champion, or streamed rows: recommend follows either."""
        done = (self.api.xcom(self.dag_id(stage), run["dag_run_id"], task) for task in ("promote", "stream"))
        return any(each is not None for each in done)


def _began_after(run: Json, other: Json) -> bool:
    return parse_time(run["start_date"]) >= parse_time(other["end_date"])


def _is_broken(dag: Json) -> bool:
    """Return whether the DAG is the placeholder of a broken program file."""
    return "broken" in {tag["name"] for tag in dag["tags"]}
