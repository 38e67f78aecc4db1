"""Make the checks and the scripts of deploy/ importable, and read the deployment files once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(REPO / "deploy")]


@pytest.fixture(scope="session")
def deployment():
    from compose_checks import Deployment

    return Deployment.read(REPO)
