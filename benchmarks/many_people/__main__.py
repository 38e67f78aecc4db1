"""Measure a recommend run of many people: ``python -m benchmarks.many_people --people 20000000 [--celery]``.

The S3 server is nanio, which keeps objects as files, in an environment of its own that is made once. Needs about 1 GB
of local disk for each million people.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.many_people import celery_run, data
from benchmarks.many_people.ports import free_port
from benchmarks.places import ROOT, emptied_folder, folder
from recsync.storage.keys import Keys

_S3_URL = "BENCH_S3_URL"
_KEY, _SECRET = "bench-access-key-0001", "bench-secret-key-0001"
_STEP_SECONDS = 3_600
_LIMIT_MB = 1_500
# Several jobs of any number of people from a million on.
_JOBS = 3


def main() -> None:
    """Run every step and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_people", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument(
        "--celery", action="store_true", help="run the mapped tasks on one and on two Celery workers"
    )
    options = parser.parse_args()
    state = emptied_folder("many_people")
    try:
        with _s3(state / "s3") as environment:
            _measure(state, environment, options.people, with_celery=options.celery)
    finally:
        shutil.rmtree(state)


def _measure(state: Path, environment: dict[str, str], people: int, *, with_celery: bool) -> None:
    started = time.monotonic()
    data.write_program(state / "include")
    data.write_warehouse(state / "warehouse.duckdb", people)
    (state / "tmp").mkdir()
    environment |= {
        "AIRFLOW_HOME": str(state / "airflow"),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(
            {"conn_type": "duckdb", "host": str(state / "warehouse.duckdb")}
        ),
        # The plan asks it for its limits; nothing is sent.
        "AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(
            {"conn_type": "braze", "host": "http://127.0.0.1:9", "password": "x"}
        ),
        "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(state / "include"),
        "AIRFLOW__RECSYNC__BUCKET": data.BUCKET,
        "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN": "arn:aws:iam::000000000000:role/personalize",
        "AIRFLOW__RECSYNC__JOB_INPUT_BYTES": str(people * 25 // _JOBS),
        # Two files at least, whatever the number of people.
        "AIRFLOW__RECSYNC__PEOPLE_PER_FILE": str(min(2_000_000, people // 2)),
        "AIRFLOW__RECSYNC__TASK_MEMORY_MB": str(_LIMIT_MB),
        "TMPDIR": str(state / "tmp"),
    }
    print(f"{people:,} people made in {time.monotonic() - started:.0f} s", flush=True)
    found = [_step("prepared", state, environment)]
    started = time.monotonic()
    plan = json.loads((state / "plan.json").read_text())
    size = _answer(plan, state, environment)
    print(f"{size / 1e9:.1f} GB of output made in {time.monotonic() - started:.0f} s", flush=True)
    found.append(_step("alone", state, environment))
    objects = _lists(plan["run"], environment)

    def check() -> None:
        assert _lists(plan["run"], environment) == objects, "two tasks publish other bytes than one"

    if with_celery:
        found += celery_run.measure(state, environment, plan, check)
    else:
        found.append(_step("divide", state, environment, "2"))
        for name in ("stage", "build"):
            found += [_step(name, state, environment, str(task), threads=1) for task in range(2)]
        found.append(_step("publish", state, environment))
        check()
    print(f"one task and two tasks publish the same {len(objects)} objects", flush=True)
    found += [_step(name, state, environment) for name in ("plan", "accounts")]
    for each in found:
        for count in ("people", "users"):
            assert each.get(count, people) == people, f"not everybody is accounted for: {each}"
    most = max(each["peak_mb"] for each in found)
    print(
        f"everybody is accounted for; the most memory of a process is {most:,} MB of {_LIMIT_MB:,}",
        flush=True,
    )


def _step(
    name: str, state: Path, environment: dict[str, str], *arguments: str, threads: int | None = None
) -> dict[str, Any]:
    more = {"AIRFLOW__RECSYNC__THREADS": str(threads)} if threads else {}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_people.steps", name, str(state), *arguments],
        cwd=ROOT,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{name} failed:\n{done.stdout[-6000:]}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    print(f"{name} {' '.join(arguments)}: {json.dumps(found)}", flush=True)
    return found


def _client(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment[_S3_URL],
        region_name="us-east-1",
        aws_access_key_id=_KEY,
        aws_secret_access_key=_SECRET,
    )


def _answer(plan: dict[str, Any], state: Path, environment: dict[str, str]) -> int:
    """Write the output of each job, and return its bytes."""
    client, size = _client(environment), 0
    questions, answers = state / "questions.json", state / "answers.out"
    for part in plan["parts"]:
        source, target = (part[name].removeprefix(f"s3://{data.BUCKET}/") for name in ("input", "output"))
        client.download_file(data.BUCKET, source, str(questions))
        data.write_answers(questions, answers, state / "tmp")
        size += answers.stat().st_size
        client.upload_file(str(answers), data.BUCKET, f"{target}users.json.out")
        questions.unlink()
        answers.unlink()
    return size


def _lists(run: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the ETag of each published object; it depends on the bytes and on the size of an upload's parts."""
    pages = (
        _client(environment)
        .get_paginator("list_objects_v2")
        .paginate(Bucket=data.BUCKET, Prefix=Keys(data.NAME).recommendations(run))
    )
    return {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", [])}


@contextmanager
def _s3(place: Path) -> Generator[dict[str, str]]:
    """Run an S3 server with files on the disk; yield the environment that reaches it."""
    nanio = folder("nanio") / "bin" / "nanio"
    if not nanio.exists():
        uv = ROOT / ".venv" / "bin" / "uv"
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", nanio.parents[1], "--python", sys.executable], check=True
        )
        python = nanio.with_name("python")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "nanio==0.1.7"], check=True)
    place.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    kept[_S3_URL] = url
    server = subprocess.Popen(
        [
            nanio,
            "serve",
            "--data-dir",
            place,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-access-log",
        ],
        env={**kept, "NANIO_ACCESS_KEY": _KEY, "NANIO_SECRET_KEY": _SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    services = {"s3": {"endpoint_url": url}}
    extra = {"region_name": "us-east-1", "service_config": services}
    aws = {"conn_type": "aws", "login": _KEY, "password": _SECRET, "extra": extra}
    try:
        for _ in range(100):
            try:
                _client(kept).create_bucket(Bucket=data.BUCKET)
                break
            except (BotoCoreError, ClientError):
                time.sleep(0.2)
        yield {
            **kept,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT / 'local'}:{ROOT}",
        }
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
