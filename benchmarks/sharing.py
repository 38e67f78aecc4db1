"""The experiment on the shared pace: two workers without a common folder, one Redis, every way a limit shows."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from benchmarks.contenders import DELIVERY
from benchmarks.data import OBJECTS_PER_CALL, delivery_data
from benchmarks.delivering import Cell, options
from benchmarks.places import folder
from benchmarks.processes import run_prepared, running_sink
from benchmarks.settings import Settings
from benchmarks.tables import number, ratio, table

DIALECTS = ("classic", "mau", "none", "sliding")
_LIMIT = (300, 3)  # requests, seconds
_WORKERS = 2
_AT_ONCE = 2  # cells; each has two workers with an S3 of their own
_PASSWORD = "benchmark"
_NO_END_SECONDS = 1e9


@dataclass(frozen=True)
class Outcome:
    """What two deliveries at once did.

    :param unsent: objects that the sink did not take; ``claimed``: users that the deliveries hold for sent.
    :param workers: seconds, calls and CPU seconds of each.
    """

    seconds: float
    ideal_seconds: float
    requests: int
    refused: int
    unsent: int
    claimed: int
    workers: list[tuple[float, float]]


def sharing(settings: Settings) -> Iterator[str]:
    """Yield the table of two workers that share a limit through Redis, and of two that lose it half-way."""
    if not shutil.which("redis-server"):
        yield "Workers on several machines were not measured: no redis-server here (apt-get install redis-server)."
        return
    requests, seconds = _LIMIT
    data = delivery_data(settings.shared_limit_users)
    yield (
        f"Two workers that share no folder, as on two machines, deliver {data.users:,} users each under {requests} "
        f"calls per {seconds} s. *classic*: the answers name the window; *sliding*: one that slides; *mau*: they name "
        "an hourly window, and only the connection's `burst_requests` tells the short one; *none*: they name nothing, "
        "and the connection tells it too."
    )
    cells = list(product(DIALECTS, ("Redis", "Redis, killed half-way")))
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        outcomes = pool.map(
            lambda numbered: measure(*numbered[1], settings.shared_limit_users, numbered[0]), enumerate(cells)
        )
        rows = [
            _row(dialect, redis, outcome) for (dialect, redis), outcome in zip(cells, outcomes, strict=True)
        ]
    columns = ["headers", "shared through", "seconds", "x of ideal", "refused calls", "refused share"]
    columns += ["objects unsent", "users claimed", "seconds of each worker", "CPU us/call"]
    yield table(columns, rows)


def measure(dialect: str, redis: str, users: int, number: int = 0) -> Outcome:
    """Deliver twice at once.

    :param redis: "Redis", or "Redis, killed half-way".
    :param number: tells cells that run at the same time apart.
    """
    data = delivery_data(users)
    calls = math.ceil(data.users / OBJECTS_PER_CALL) * _WORKERS
    ideal_seconds = calls / _LIMIT[0] * _LIMIT[1]
    ours = next(each for each in DELIVERY if each.module == "delivery.recsync")
    settings = replace(Settings(), cell_seconds=_NO_END_SECONDS)
    with running_sink() as sink, _running_redis() as (process, url):
        sink.set(limit=_LIMIT, dialect=dialect, delay_seconds=0.05)
        told = {**options(Cell(ours, 0), data, sink, settings), "pace_redis_url": url, "burst": _LIMIT}
        runs = []
        for worker in range(_WORKERS):
            place = tempfile.mkdtemp(dir=folder("tmp"))
            runs.append(run_prepared(ours, {**told, "tmpdir": place}, number * _WORKERS + worker))
        if redis != "Redis":
            _wait_for_a_state(url)
            time.sleep(ideal_seconds / 2)
            process.kill()
        results = [run.result() for run in runs]
        arrived = sink.stats()
    return Outcome(
        seconds=arrived["seconds"],
        ideal_seconds=ideal_seconds,
        requests=arrived["requests"],
        refused=arrived["statuses"].get("429", 0),
        unsent=data.users * _WORKERS - arrived["objects"],
        claimed=sum(result["claimed"] for result in results),
        workers=[(result["wall_seconds"], result["cpu_seconds"]) for result in results],
    )


def _row(dialect: str, redis: str, outcome: Outcome) -> list[str]:
    return [
        dialect,
        redis,
        number(outcome.seconds),
        ratio(outcome.seconds, outcome.ideal_seconds),
        f"{outcome.refused:,}",
        f"{outcome.refused / outcome.requests:.2%}",
        f"{outcome.unsent:,}",
        f"{outcome.claimed:,}",
        ", ".join(number(seconds) for seconds, _ in outcome.workers),
        number(sum(cpu for _, cpu in outcome.workers) / outcome.requests * 1e6),
    ]


@contextmanager
def _running_redis() -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--requirepass", _PASSWORD, "--save", ""]
    place = Path(tempfile.mkdtemp(dir=folder("tmp")))
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL) as process:
        try:
            yield process, f"redis://:{_PASSWORD}@127.0.0.1:{port}/0"
        finally:
            process.kill()


def _wait_for_a_state(url: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        while not client.exists(*(list(client.scan_iter("recsync:*")) or ["none"])):
            time.sleep(0.2)
