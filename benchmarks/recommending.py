"""The experiments on the recommendations service: stores, latency, throughput beside a floor, a swap, an erasure."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil

from benchmarks.export.servers import free_port
from benchmarks.places import ROOT, emptied_folder
from benchmarks.recommendations.publish import ITEMS, LENGTH, PROGRAM, publish, user_id, write_program
from benchmarks.settings import Settings
from benchmarks.tables import number, table
from recommendations.keys import new_key
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.suppression.store import SuppressionStore

_RATE = 1_000
_REPEATS = 3
_START_SECONDS = 120
_BUCKET = "recsync-bench"


def recommendations(settings: Settings) -> Iterator[str]:
    """Yield one table per experiment."""
    users = settings.lists_users
    stores = _json([sys.executable, "-m", "benchmarks.recommendations.stores", str(users)], _environment(""))
    rows = [[name, number(one["lookup_us"]), number(one["build_s"])] for name, one in stores.items()]
    yield f"**One list of {LENGTH} items of {users:,} users by id, in process**"
    yield table(["store", "us/look-up", "s to build"], rows)
    with ExitStack() as stack:
        service = _Service(stack, users)
        size = service.load(seconds=8)["bytes"]  # and every item is read once
        floor = free_port()
        floor_process = service.start(
            [sys.executable, "-m", "benchmarks.recommendations.floor", str(floor), str(round(size))]
        )
        _wait(lambda: _get(floor, "/recommendations", ""))
        yield (
            f"**{users:,} users, {LENGTH} of {ITEMS:,} items, {round(size):,} bytes an answer; one worker.** "
            "Floor: the same server with a constant body of that size. Both are asked in turns by one process."
        )
        yield _latency(service, floor)
        yield _throughput(service, floor, floor_process)
        yield _changes(service)


def _latency(service: _Service, floor: int) -> str:
    rows = []
    for run in range(_REPEATS):
        for name, port in (("service", service.port), ("floor", floor)):
            load = os.getloadavg()[0]
            found = service.load(port=port, rate=_RATE, seconds=10)
            figures = [f"{found[f'{p}_ms']:.2f}" for p in ("p50", "p99", "p99.9", "max")]
            figures += [f"{found['requests']:,}", str(_errors(found)), f"{found['behind']:,}", f"{load:.1f}"]
            rows.append([f"{name}, run {run + 1}", *figures])
    columns = [
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "answers",
        "errors",
        "not asked in time",
        "load average before",
    ]
    return table([f"{_RATE:,} requests/s, due at fixed times", *columns], rows)


def _throughput(service: _Service, floor: int, floor_process: subprocess.Popen[bytes]) -> str:
    rows, ratios, work = [], [], []
    asked = {service.port: psutil.Process(service.process.pid), floor: psutil.Process(floor_process.pid)}
    for run in range(_REPEATS):
        # The floor before and after: half of each, so that a change of the machine falls on both.
        rates, cpu = [], []
        for port in (floor, service.port, floor):
            before = sum(asked[port].cpu_times()[:2])
            found = service.load(port=port, seconds=4)
            rates.append(found["per_second"])
            cpu.append(1e6 * (sum(asked[port].cpu_times()[:2]) - before) / found["requests"])
        rates, cpu = ([one[1], (one[0] + one[2]) / 2] for one in (rates, cpu))
        ratios.append(rates[0] / rates[1])
        work.append(cpu[1] / cpu[0])
        figures = [*map(number, rates), f"{ratios[-1]:.2f}", *map(number, cpu), f"{work[-1]:.2f}"]
        rows.append([f"run {run + 1}", *figures])
    rows.append(
        ["median", "", "", f"{statistics.median(ratios):.2f}", "", "", f"{statistics.median(work):.2f}"]
    )
    columns = ["service/s", "floor/s", "x of floor", "service CPU us", "floor CPU us", "x of floor by CPU"]
    return table(["each connection asks again at once", *columns], rows)


def _changes(service: _Service) -> str:
    """Publish anew and erase somebody while the service is asked."""
    command = service.load_command(rate=_RATE, seconds=0, marks=True)
    process = subprocess.Popen(
        command, env=service.environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    time.sleep(3)
    service.publish("20261130T060000-bb", "B")
    began = time.monotonic()
    _wait(lambda: json.loads(service.get("/healthz"))["programs"][PROGRAM]["run"].endswith("bb"))
    swapped = time.monotonic() - began
    person = user_id(17)
    SuppressionStore(service.bucket, Keys(PROGRAM)).add([f"c{person}"], [person])
    began = time.monotonic()
    _wait(lambda: service.get(f"/recommendations?user_id={person}") == b"[]")
    hidden = time.monotonic() - began
    needle = f"c{person}".encode()
    stores = service.data / PROGRAM / "stores"
    # Seldom: the file is large, and the build needs the CPU.
    _wait(lambda: not any(needle in file.read_bytes() for file in stores.rglob("*.mdb")), every_seconds=1)
    gone = time.monotonic() - began
    time.sleep(2)
    output, _ = process.communicate(timeout=60)  # closes its standard input
    found = json.loads(output)
    rows = [
        ["answers of the first, of the second and of both publications",
         ", ".join(f"{found['marks'].get(mark, 0):,}" for mark in ("A", "B", "AB"))],
        ["errors", str(_errors(found))],
        ["requests that were due and not asked in time", f"{found['behind']:,}"],
        ["p99 and longest, with two builds beside", f"{found['p99_ms']:.1f} ms, {found['max_ms']:.1f} ms"],
        ["from the manifest to the last worker's new store", f"{swapped:.1f} s"],
        ["from the suppression list to the empty answer", f"{hidden:.1f} s"],
        ["from the suppression list to a disk without the person", f"{gone:.1f} s"],
    ]  # fmt: skip
    return table([f"a new publication, then an erasure, at {_RATE:,} requests/s", ""], rows)


def _errors(found: dict[str, Any]) -> int:
    answered = sum(count for status, count in found["statuses"].items() if status != "200")
    return int(answered + found["lost_connections"])


@dataclass
class _Service:
    """A running service over an S3 of moto's."""

    stack: ExitStack
    users: int
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder = emptied_folder("recommendations/service")
        self.data, keys, s3 = self.folder / "data", self.folder / "keys.json", free_port()
        self.environment = _environment(f"http://127.0.0.1:{s3}")
        self.start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(s3)])
        _wait(lambda: _get(s3, "/moto-api/", ""))
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{s3}", region_name="us-east-1",
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip
        client.create_bucket(Bucket=_BUCKET)
        self.bucket = Bucket(client, _BUCKET)
        write_program(self.folder / "include")
        self.publish("20261130T050000-aa", "A")
        self.key = new_key(keys, limit="1000000/second")
        self.process = self.start([
            sys.executable, "-m", "recommendations", "--port", str(self.port), "--data", str(self.data), "--keys",
            str(keys), "--include", str(self.folder / "include"), "--bucket", _BUCKET,
        ])  # fmt: skip
        _wait(lambda: self.get("/healthz"))

    def publish(self, run: str, mark: str) -> None:
        publish(self.bucket, self.folder, run, self.users, mark)

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
        self.stack.callback(process.wait, 30)
        self.stack.callback(process.terminate)
        return process

    def get(self, path: str) -> bytes:
        return _get(self.port, path, self.key)

    def load(self, **options: Any) -> dict[str, Any]:
        return _json(self.load_command(**options), self.environment)

    def load_command(self, *, marks: bool = False, port: int | None = None, **options: Any) -> list[str]:
        words = [f"--{name}={value}" for name, value in options.items()]
        words += [f"--port={port or self.port}", f"--key={self.key}", f"--users={self.users}"]
        return [
            sys.executable,
            "-m",
            "benchmarks.recommendations.load",
            *words,
            *(["--marks"] if marks else []),
        ]


def _environment(s3_url: str) -> dict[str, str]:
    paths = [str(ROOT / name) for name in ("plugins", "services")]
    aws = {"AWS_ENDPOINT_URL_S3": s3_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    return {**os.environ, **aws, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": os.pathsep.join(paths)}


def _json(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _get(port: int, path: str, key: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"}
    )
    with opener.open(request, timeout=10) as answer:
        return bytes(answer.read())


def _wait(done: Callable[[], Any], every_seconds: float = 0.02) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except OSError:
            pass
        time.sleep(every_seconds)
    raise TimeoutError(
        f"not after {_START_SECONDS} s; see the log in {Path('.stack/bench/recommendations/service')}"
    )
