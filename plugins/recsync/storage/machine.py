"""What this process may use of the machine: processors, memory, local disk.

A container sees the whole machine in ``/proc``; its limits are in the files of its control group (cgroup v2 or v1),
and each limit of a parent group applies as well. A worker runs several tasks at once, so a task gets a share of the
memory. Only time may depend on these figures: results are the same bytes on every machine.

Settings, as variables of the worker's environment (this module knows no Airflow): ``AIRFLOW__RECSYNC__THREADS``,
``AIRFLOW__RECSYNC__TASK_MEMORY_MB``, ``AIRFLOW__RECSYNC__TASKS_PER_WORKER``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from recsync.errors import FatalError, RetriableError

MIB = 2**20
THREADS = "AIRFLOW__RECSYNC__THREADS"
TASK_MEMORY_MB = "AIRFLOW__RECSYNC__TASK_MEMORY_MB"
TASKS_PER_WORKER = "AIRFLOW__RECSYNC__TASKS_PER_WORKER"
# Airflow's own setting of the slots of a Celery worker.
WORKER_CONCURRENCY = "AIRFLOW__CELERY__WORKER_CONCURRENCY"
DEFAULT_TASKS_PER_WORKER = 4
# DuckDB fails below this on a machine with many processors.
LEAST_DUCKDB_MB = 200
_ROOT = Path("/")


def cpus(root: Path = _ROOT) -> int:
    """Return how many threads may work at once: the least of affinity, cgroup quota and the setting, at least 1.

    :param root: where ``proc`` and ``sys`` are.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    known = len(affinity(0)) if affinity else os.cpu_count() or 1
    limits = [known, *(max(1, ceil(quota)) for quota in _cpu_quotas(root))]
    if (setting := _setting(THREADS)) is not None:
        limits.append(setting)
    return min(limits)


def memory_bytes(root: Path = _ROOT) -> int:
    """Return the memory of one task in bytes: its setting, else the worker's memory divided by its task slots.

    The worker's memory is the least of the physical memory and the limits of its control groups.

    :param root: where ``proc`` and ``sys`` are.
    """
    if (megabytes := _setting(TASK_MEMORY_MB)) is not None:
        return megabytes * MIB
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_memory_limits(root)]) // tasks_per_worker()


def tasks_per_worker() -> int:
    """Return how many tasks a worker runs at once: the setting, else Celery's slots, else 4."""
    return _setting(TASKS_PER_WORKER) or _setting(WORKER_CONCURRENCY) or DEFAULT_TASKS_PER_WORKER


def duckdb_memory(share: float = 0.25, root: Path = _ROOT) -> str:
    """Return a value for DuckDB's ``memory_limit``: a share of the task's memory, at least 200 MB."""
    return f"{max(LEAST_DUCKDB_MB, int(memory_bytes(root) * share) // 10**6)}MB"


def check_disk(folder: Path, needed_bytes: int, what: str) -> None:
    """Check that the local disk has room before work begins.

    :param folder: an existing folder of that disk.
    :param what: what needs the room, for the error.
    :raises RetriableError: when less than ``needed_bytes`` is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise RetriableError(
            f"{what} needs {needed_bytes / 1e9:,.1f} GB of local disk at {folder} and {free / 1e9:,.1f} GB are free. "
            "Free some, or let TMPDIR point to a larger disk. The work was not begun."
        )


def _setting(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise FatalError(f"{name} is {text!r}; it must be a whole number of at least 1, or unset.")
    return int(text)


def _cpu_quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        # "max" and "-1" mean no quota.
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (limit := _read(folder / name)).isdigit() and int(limit):
                yield int(limit)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's control group and of each of its parents, under v2 and v1."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        # Without a cgroup namespace, a container reads the path on the host, which it has not mounted: the
        # folders that do not exist give no limit, and the mount itself gives the container's.
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
