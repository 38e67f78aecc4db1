"""Write results as Markdown tables."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def median(results: Sequence[dict[str, Any]], key: str) -> float:
    """Return the median of one figure."""
    return float(statistics.median(result[key] for result in results))


def number(value: float) -> str:
    """Return a figure with the digits that a noisy machine allows."""
    if value >= 1_000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float, base: float | None) -> str:
    """Return value / base, or a dash where the base was not measured."""
    return f"{number(value / base)}x" if base else "-"


def megabytes(value: float) -> str:
    """Return bytes as MB."""
    return f"{value / 1e6:.0f}"


def machine() -> str:
    """Return one line on the machine and one on the versions measured from the project's environment."""
    cpu, memory = "?", "?"
    if (info := Path("/proc/cpuinfo")).exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = models[0] if models else cpu
    if (info := Path("/proc/meminfo")).exists():
        memory = f"{int(info.read_text().split()[1]) / 2**20:.0f} GiB"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    packages = ["apache-airflow", "apache-airflow-providers-http", "aiohttp", "requests", "urllib3", "uvloop"]
    packages += ["msgspec", "pandas", "pyarrow"]
    return (
        f"{cores} cores ({cpu}), {memory}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average at the start {load:.1f}\n\n"
        + ", ".join(f"{package} {_version(package)}" for package in packages)
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
