"""Start the parts in order, skip healthy ones, and stop all of them."""

from __future__ import annotations

import fcntl
import subprocess  # ruff: ignore[suspicious-subprocess-import] - starting processes is its purpose
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import processes, s3_state
from stack.errors import StackError, StartError
from stack.parts import AIRFLOW, PORTED, SERVICES, Part, Plan
from stack.processes import Record
from stack.secret_files import write_airflow_passwords
from warehouse_local.sample import load_sample

_LOG_TAIL_LINES = 25
_POLL_SECONDS = 0.25
_GRACE_SECONDS = 30.0  # Airflow takes 8 to 14 s to end after SIGINT
Say = Callable[[str], None]


@dataclass(frozen=True)
class PartStatus:
    """Hold the state of one part."""

    name: str
    state: str
    address: str
    pid: int | None
    log: Path


class Supervisor:
    """Start and stop the processes of one stack; `say` prints each step."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self.plan = plan
        self._say = say
        self._run = plan.settings.run

    def up(self, *, airflow: bool = True) -> None:
        """Start the stopped parts, services first; without `airflow`, only the services.

        Raises StartError for the first part that does not start; the others keep running.
        """
        self._check_folders()
        with self._lock():
            self._choose_ports(airflow)
            self.plan.server().prepare()
            self._start_all(
                [name for name in SERVICES if name not in self.plan.replaced], self._after_services
            )
            self._say_replaced()
            if airflow:
                write_airflow_passwords(self.plan.settings.home, self.plan.secrets)
                self._start_airflow()
            else:
                self._load_sample()

    def _check_folders(self) -> None:
        settings = self.plan.settings
        for variable, folder in (("STACK_DAGS", settings.dags), ("STACK_PLUGINS", settings.plugins)):
            if not folder.is_dir():
                raise StackError(f"{folder} is not a folder; set {variable} to the right one.")
        settings.airflow_home.mkdir(parents=True, exist_ok=True)

    def _choose_ports(self, airflow: bool) -> None:
        for name in PORTED:
            if name in self.plan.replaced or (name == "airflow" and not airflow):
                continue
            record = processes.find(self._run, "api-server" if name == "airflow" else name)
            running_on = record.port if record and record.is_alive else None
            self.plan.ports.choose(name, running_on, self._say)

    def _say_replaced(self) -> None:
        for name in sorted(self.plan.replaced):
            self._say(f"{name}: not started, your own connection stands in for it")

    def _start_all(self, names: Sequence[str], after: Callable[[str, bool], None]) -> None:
        """Start parts in parallel, then wait for each and call `after(name, is_new)`."""
        launched = {name: self._launch(self.plan.part(name)) for name in names}
        for name, (record, is_new) in launched.items():
            if is_new:
                self._await_health(self.plan.part(name), record)
            after(name, is_new)

    def _launch(self, part: Part) -> tuple[Record, bool]:
        record = processes.find(self._run, part.name)
        if record and record.is_alive:
            if part.is_healthy(record) or self._recovers(part, record):
                changed = record.fingerprint != part.fingerprint
                note = " (its settings have changed since: down and up applies them)" if changed else ""
                self._say(f"{part.name}: already running, pid {record.pid}, {part.address}{note}")
                return record, False
            self._say(f"{part.name}: pid {record.pid} runs but does not answer; starting it again")
        if record:
            self._stop_all([part.name])  # also children of an ended process
        return self._start(part), True

    def _recovers(self, part: Part, record: Record) -> bool:
        """Wait for a starting or busy process until its start timeout."""
        deadline = record.started_at + part.start_timeout_seconds
        while record.is_alive and time.time() < deadline:
            if part.is_healthy(record):
                return True
            time.sleep(_POLL_SECONDS)
        return record.is_alive and part.is_healthy(record)

    def _start(self, part: Part) -> Record:
        return processes.start(
            part.name,
            part.argv,
            part.environ,
            log=self._log(part.name),
            run=self._run,
            port=part.port,
            fingerprint=part.fingerprint,
        )

    def _await_health(self, part: Part, record: Record) -> None:
        deadline = record.started_at + part.start_timeout_seconds
        while not part.is_healthy(record):
            if not record.is_alive:
                raise StartError(f"{part.name} ended while starting.\n{self._tail(part.name)}")
            if time.time() > deadline:
                raise StartError(
                    f"{part.name} is not healthy after {part.start_timeout_seconds:.0f} s.\n{self._tail(part.name)}"
                )
            time.sleep(_POLL_SECONDS)
        seconds = time.time() - record.started_at
        self._say(f"{part.name}: healthy after {seconds:.1f} s, pid {record.pid}, {part.address}")

    def _after_services(self, name: str, is_new: bool) -> None:
        if name == "s3":
            url = self.plan.url("s3")
            if is_new and (count := s3_state.restore(url, self.plan.settings.home / "s3")):
                self._say(f"s3: {count} objects put back from the last stop")
            s3_state.ensure_bucket(url, self.plan.settings.bucket)

    def _start_airflow(self) -> None:
        """Migrate Airflow's database during the load of the sample, then start the components."""
        records = [processes.find(self._run, name) for name in AIRFLOW]
        if any(record and record.is_alive for record in records):
            self._load_sample()
        else:
            with self._migration():
                self._load_sample()
        self._start_all(AIRFLOW, lambda name, is_new: None)

    @contextmanager
    def _migration(self) -> Generator[None]:
        started, part = time.monotonic(), self.plan.part("api-server")
        log = self._log("db-migrate")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true] - our own commands
                [part.argv[0], "db", "migrate"], env=part.environ, stdout=output, stderr=output
            )
        try:
            yield
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if status != 0:
            raise StartError(f"`airflow db migrate` failed with status {status}.\n{self._tail('db-migrate')}")
        self._say(f"airflow: database ready after {time.monotonic() - started:.1f} s")

    def _load_sample(self) -> None:
        if self.plan.settings.with_sample and self.plan.own_warehouse:
            load_sample(
                self.plan.server().dsn(),
                keep=True,
                shop_url=self.plan.url("shop"),
                say=lambda line: self._say(f"warehouse: {line.strip()}"),
            )

    def down(self) -> None:
        """Stop all parts, Airflow first, and stray processes with this stack's marker."""
        with self._lock():
            self._stop_all(AIRFLOW)
            self.save_s3()
            self._stop_all([name for name in reversed(SERVICES) if name != "postgres"])
            self._stop_all(["postgres"])
            if strays := processes.strays(self.plan.secrets.stack_id):
                self._say(f"stopping {len(strays)} left-over process(es): {[stray.pid for stray in strays]}")
                processes.stop(strays)

    def _stop_all(self, names: Sequence[str]) -> None:
        """Send SIGINT to all parts, then wait for each."""
        records = [record for name in names if (record := processes.find(self._run, name))]
        groups = [(record, record.is_alive, processes.members(record)) for record in records]
        processes.interrupt(records)
        for record, was_alive, group in groups:
            self._await_end(record, was_alive, group)

    def _await_end(self, record: Record, was_alive: bool, group: list[processes.Process]) -> None:
        started = time.monotonic()
        # Without a leader to pass on the SIGINT, send SIGTERM at once.
        killed = processes.stop(group, grace_seconds=_GRACE_SECONDS if was_alive else 0.0)
        processes.stop(processes.members(record))  # processes that started meanwhile
        processes.forget(self._run, record.name)
        what = "stopped" if was_alive else "had ended already"
        if killed:
            what += ", some of it by SIGKILL"
        self._say(f"{record.name}: {what} ({time.monotonic() - started:.1f} s)")

    def save_s3(self) -> None:
        """Save the objects of S3 to disk for the next `up`."""
        record = processes.find(self._run, "s3")
        if record and record.is_alive and self.plan.part("s3").is_healthy(record):
            count = s3_state.save(self.plan.url("s3"), self.plan.settings.home / "s3")
            self._say(f"s3: {count} objects kept in {self.plan.settings.home / 's3'} for the next up")

    def status(self) -> list[PartStatus]:
        """Return the state of every part."""
        return [self._status_of(name) for name in (*SERVICES, *AIRFLOW)]

    def _status_of(self, name: str) -> PartStatus:
        part, record = self.plan.part(name), processes.find(self._run, name)
        alive = record if record and record.is_alive else None
        if alive is not None:
            state = "running" if part.is_healthy(alive) else "not answering"
        elif name in self.plan.replaced:
            state = "replaced"
        else:
            state = "ended" if record else "stopped"
        return PartStatus(name, state, part.address, alive.pid if alive else None, self._log(name))

    def _log(self, name: str) -> Path:
        return self.plan.settings.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        path = self._log(name)
        lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if path.exists() else []
        return "\n".join([f"The end of {path}:", *(f"  | {line}" for line in lines)])

    @contextmanager
    def _lock(self) -> Generator[None]:
        """Allow one `up` or `down` of a stack at a time."""
        self.plan.settings.home.mkdir(parents=True, exist_ok=True)
        with (self.plan.settings.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("waiting for another up or down of this stack to end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
