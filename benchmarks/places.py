"""Name the folders that the benchmarks write to; all lie below the checkout and outside of git."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS_VENV = Path(os.environ.get("BENCH_VENV") or ROOT / ".bench-venv").resolve()


def folder(name: str) -> Path:
    """Return a folder below the benchmarks' own, made if need be."""
    path = Path(os.environ.get("BENCH_DIR") or ROOT / ".stack" / "bench").resolve() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def emptied_folder(name: str) -> Path:
    """Return a folder below the benchmarks' own with nothing in it."""
    shutil.rmtree(folder(name))
    return folder(name)
