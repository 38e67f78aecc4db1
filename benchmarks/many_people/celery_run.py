"""Build the lists of a run on one and on two real Celery workers of one slot and one processor each.

A worker is bound to its processor, as a container of one would be; everything else of the machine runs where it can.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, LiteralString
from urllib.request import urlopen

import psycopg

from benchmarks.many_people.data import NAME
from benchmarks.many_people.ports import free_port
from benchmarks.places import ROOT
from warehouse_local.server import LOGIN, EmbeddedServer, running

_DAG = "many_people"
_TASKS = 2
_WAIT_SECONDS = 3_600
_START_SECONDS = 900
_SLOW_START = 40
_DAG_FILE = '''"""The tasks of a recommend run that build and publish lists."""
import json
import resource
from pathlib import Path
from airflow.sdk import DAG, TriggerRule, task
from recsync.context import StageContext
from recsync.recommend.recommend import build_and_publish_lists
from recsync.recommend.tasks import Inference, build_in_tasks

PLAN = json.loads({plan!r})


def record(context):
    ti, used = context["ti"], resource.getrusage(resource.RUSAGE_SELF)
    figures = {{"cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}}
    name = f"{{ti.run_id}}-{{ti.task_id}}-{{ti.map_index}}.json"
    (Path({figures!r}) / name).write_text(json.dumps(figures))


@task
def publish():
    build_and_publish_lists({program!r}, PLAN, [], is_built=True)


with DAG({dag!r}, schedule=None, default_args={{"on_success_callback": record}}):
    program = StageContext.of({program!r}).program
    build_in_tasks(program, PLAN, Inference([], None, {{}}), TriggerRule.ALL_SUCCESS) >> publish()
'''


def measure(
    state: Path, environment: dict[str, str], plan: dict[str, Any], check: Callable[[], None]
) -> list[dict[str, Any]]:
    """Print the seconds of each task on one and on two workers, and their ratios; return the figures of the tasks.

    :param check: checks what a run published.
    """
    home = state / "airflow"
    for folder in ("dags", "figures"):
        (home / folder).mkdir(parents=True)
    text = _DAG_FILE.format(plan=json.dumps(plan), dag=_DAG, program=NAME, figures=str(home / "figures"))
    (home / "dags" / "many_people.py").write_text(text)
    database, redis, api = (
        EmbeddedServer(home / "postgres", free_port(), secrets.token_hex(16)),
        free_port(),
        free_port(),
    )
    with running(database, log=home / "postgres.log"), ExitStack() as stack:
        stack.enter_context(
            _process(
                [_redis(), "--bind", "127.0.0.1", "--port", str(redis), "--save", ""],
                environment,
                home / "redis.log",
            )
        )
        environment = environment | _airflow(home, database, redis, api)
        _command(environment, "db", "migrate")
        for number, part in enumerate(("api-server", "scheduler", "dag-processor")):
            stack.enter_context(_process(_argv(part), environment, home / f"{number}.log"))
        stack.enter_context(_worker(environment, home, 1))
        _wait(
            lambda: bool(_query(database, "SELECT 1 FROM serialized_dag WHERE dag_id = %s", _DAG)), "the DAG"
        )
        _wait(lambda: _answers(api), "the API")
        _command(environment, "dags", "unpause", _DAG)
        # Two workers first: what the first tasks take longer, from a disk that is not cached, counts against them.
        with _worker(environment, home, 2):
            time.sleep(_SLOW_START)
            two, of_two = _run(environment, database, "two")
        check()
        one, of_one = _run(environment, database, "one")
        check()
    for name, tasks in (("one worker", of_one), ("two workers", of_two)):
        for each in tasks:
            print(f"{name}: {json.dumps(each)}", flush=True)
    print(
        f"lists on one Celery worker of one processor: {one:.1f} s; on two: {two:.1f} s; {one / two:.2f} times as fast "
        "(aim: at least 1.7 where two processors are free)"
    )
    print(
        f"by the CPU seconds of the tasks alone: {parallel_gain(of_one):.2f} times, and "
        f"{parallel_gain(of_two):.2f} in the run on two; the rest is what S3 server and Airflow take of the processors",
        flush=True,
    )
    return of_one + of_two


def parallel_gain(tasks: list[dict[str, Any]]) -> float:
    """Return how many times as fast the tasks are where mapped tasks of one kind run at the same time."""
    longest: dict[str, float] = {}
    for each in tasks:
        longest[each["task"]] = max(longest.get(each["task"], 0), each["cpu_seconds"])
    return float(sum(each["cpu_seconds"] for each in tasks) / sum(longest.values()))


def _redis() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise SystemExit("--celery needs redis-server")
    return found


def _airflow(home: Path, database: EmbeddedServer, redis: int, api: int) -> dict[str, str]:
    place = f"{LOGIN}:{database.password}@127.0.0.1:{database.port}/airflow"
    secret = secrets.token_hex(32)
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{place}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
        # One task of each kind waits in the queue until a worker is free, not in a worker that works.
        "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        "AIRFLOW__CELERY__TASK_ACKS_LATE": "True",
        "AIRFLOW__RECSYNC__LIST_TASKS": str(_TASKS),
        # Importing the DAG file and the API's first answer take seconds, and on a busy machine half a minute.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _argv(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("airflow")), *words]


def _command(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(_argv(*words), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"airflow {' '.join(words)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _worker(environment: dict[str, str], home: Path, number: int) -> Generator[None]:
    more = {
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / f"logs-{number}"),
    }
    processors = sorted(os.sched_getaffinity(0))
    argv = [
        *("taskset", "--cpu-list", str(processors[(number - 1) % len(processors)])),
        *_argv("celery", "worker", "--celery-hostname", f"worker-{number}@bench", "--without-gossip"),
    ]
    with _process(argv, environment | more, home / f"worker-{number}.log"):
        yield


@contextmanager
def _process(argv: list[str], environment: dict[str, str], log: Path) -> Generator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(done: Any, what: str) -> None:
    until = time.monotonic() + _START_SECONDS
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"{what} did not appear within {_START_SECONDS} s")
        time.sleep(2)


def _logs(home: Path) -> str:
    """Return the ends of the logs of tasks and workers."""
    files = [*home.glob("logs-*/**/*.log"), *home.glob("*.log")]
    return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in files)


def _answers(api: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{api}/api/v2/monitor/health", timeout=60) as response:
            return bool(response.status == HTTPStatus.OK)
    except OSError:
        return False


def _query(database: EmbeddedServer, statement: LiteralString, *values: str) -> list[Any]:
    with psycopg.connect(database.dsn("airflow")) as connection:
        return connection.execute(statement, values).fetchall()


def _run(
    environment: dict[str, str], database: EmbeddedServer, run: str
) -> tuple[float, list[dict[str, Any]]]:
    """Run the DAG; return the seconds from the begin of its first task to the end of its last one, and each task's."""
    _command(environment, "dags", "trigger", _DAG, "--run-id", run)
    until, home = time.monotonic() + _WAIT_SECONDS, Path(environment["AIRFLOW_HOME"])
    while time.monotonic() < until:
        rows = _query(
            database,
            "SELECT task_id, map_index, state, extract(epoch FROM start_date)::float, "
            "extract(epoch FROM end_date)::float FROM task_instance WHERE dag_id = %s AND run_id = %s "
            "ORDER BY start_date",
            _DAG,
            run,
        )
        states = {state for _, _, state, _, _ in rows}
        if {"failed", "upstream_failed"} & states:
            raise SystemExit(f"a task of run {run} failed:\n{_logs(home)}")
        # One task divides, and one publishes.
        if states == {"success"} and len(rows) == 2 * _TASKS + 2:
            tasks = []
            for task, index, _, start, end in rows:
                used = json.loads((home / "figures" / f"{run}-{task}-{index}.json").read_text())
                figures = {"cpu_seconds": round(used["cpu"], 2), "peak_mb": round(used["peak_mb"])}
                tasks.append({"task": task, "share": index, "seconds": round(end - start, 2), **figures})
            return max(row[4] for row in rows) - min(row[3] for row in rows), tasks
        time.sleep(1)
    raise SystemExit(f"run {run} did not end within {_WAIT_SECONDS} s")
