from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from recsync.errors import FatalError, RetriableError
from recsync.storage import machine

GIB = 2**30


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        machine.THREADS,
        machine.TASK_MEMORY_MB,
        machine.TASKS_PER_WORKER,
        machine.WORKER_CONCURRENCY,
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V2 = {
    "proc/self/cgroup": "0::/kubepods/pod1/app",
    "sys/fs/cgroup/kubepods/cpu.max": "max 100000",
    "sys/fs/cgroup/kubepods/memory.max": "max",
    "sys/fs/cgroup/kubepods/pod1/cpu.max": "300000 100000",
    "sys/fs/cgroup/kubepods/pod1/memory.max": str(GIB),
    "sys/fs/cgroup/kubepods/pod1/app/cpu.max": "600000 100000",
    "sys/fs/cgroup/kubepods/pod1/app/memory.max": str(2 * GIB),
}
# A container reads the path of the host, and finds its own group at the mount.
V1 = {
    "proc/self/cgroup": "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
}
V1_UNLIMITED = {
    **V1,
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
}
OWN_NAMESPACE = {
    "proc/self/cgroup": "0::/",
    "sys/fs/cgroup/cpu.max": "50000 100000",
    "sys/fs/cgroup/memory.max": str(GIB),
}
OUTSIDE_THE_NAMESPACE = {**OWN_NAMESPACE, "proc/self/cgroup": "0::/../sibling"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [(V2, 3), (V1, 3), (V1_UNLIMITED, 64), (OWN_NAMESPACE, 1), (OUTSIDE_THE_NAMESPACE, 1), ({}, 64)],
)
def test_the_quota_of_the_control_groups_bounds_the_processors(
    files: dict[str, str], expected: int, tmp_path: Path, many_cpus: None
) -> None:
    assert machine.cpus(write(tmp_path, files)) == expected


def test_affinity_and_the_setting_bound_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, V2)
    monkeypatch.setenv(machine.THREADS, "2")
    assert machine.cpus(tmp_path) == min(2, len(os.sched_getaffinity(0)))
    monkeypatch.setenv(machine.THREADS, "1")
    assert machine.cpus(tmp_path) == 1
    monkeypatch.setenv(machine.THREADS, "500")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 7}, raising=False)
    assert machine.cpus(tmp_path) == 2


@pytest.mark.parametrize("files", [V2, V1, OWN_NAMESPACE, OUTSIDE_THE_NAMESPACE])
def test_the_least_memory_limit_of_the_control_groups_is_shared_by_the_slots(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, files)
    assert machine.memory_bytes(tmp_path) == GIB // 4
    monkeypatch.setenv(machine.WORKER_CONCURRENCY, "8")
    assert machine.memory_bytes(tmp_path) == GIB // 8
    monkeypatch.setenv(machine.TASKS_PER_WORKER, "1")
    assert machine.memory_bytes(tmp_path) == GIB
    monkeypatch.setenv(machine.TASK_MEMORY_MB, "3000")
    assert machine.memory_bytes(tmp_path) == 3000 * 2**20


@pytest.mark.parametrize("files", [V1_UNLIMITED, {}])
def test_without_a_limit_the_physical_memory_counts(files: dict[str, str], tmp_path: Path) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.memory_bytes(write(tmp_path, files)) == physical // 4


def test_duckdb_gets_a_share_of_the_memory_but_not_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.TASK_MEMORY_MB, "4096")
    assert machine.duckdb_memory() == "1073MB"
    assert machine.duckdb_memory(0.5) == "2147MB"
    monkeypatch.setenv(machine.TASK_MEMORY_MB, "100")
    assert machine.duckdb_memory() == "200MB"


def test_the_real_machine_gives_figures_that_are_possible() -> None:
    assert 1 <= machine.cpus() <= (os.cpu_count() or 1)
    assert 0 < machine.memory_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_a_setting_that_is_no_number_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.THREADS, value)
    with pytest.raises(FatalError, match="AIRFLOW__RECSYNC__THREADS"):
        machine.cpus()


def test_a_disk_without_room_is_told_before_work_begins(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    machine.check_disk(tmp_path, free // 2, "Sorting the audience")
    with pytest.raises(RetriableError, match=r"Sorting the audience needs .* GB .* TMPDIR"):
        machine.check_disk(tmp_path, free * 2, "Sorting the audience")
