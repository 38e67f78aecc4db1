"""The command line, the ready line and the lock of the data directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOCAL = Path(__file__).resolve().parents[2] / "local"


def test_the_ready_line_tells_the_url_and_not_the_key(start: Callable[..., Any]) -> None:
    braze = start(keys=("very-secret",))
    assert braze.ready_line == f"braze_local is ready at {braze.url}\n"
    braze.session.get(braze.url + "/catalogs", headers={"Authorization": "Bearer very-secret"}, timeout=10)
    braze.process.send_signal(signal.SIGTERM)
    output, errors = braze.process.communicate(timeout=20)
    assert "very-secret" not in output + errors


def _run(*flags: str, key: str = "k", local: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(local), "BRAZE_LOCAL_KEY": key}
    return subprocess.run(
        [sys.executable, "-m", "braze_local", "--port", "0", *flags],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_a_second_server_is_kept_out_of_the_data(start: Callable[..., Any]) -> None:
    braze = start()
    second = _run("--data", str(braze.data), local=LOCAL)
    assert second.returncode == 1
    assert "another server is using the data directory" in second.stderr


def test_a_key_is_needed(tmp_path: Path) -> None:
    for key in ("", ":users.track"):
        refused = _run("--data", str(tmp_path), key=key, local=LOCAL)
        assert refused.returncode == 2
        assert "BRAZE_LOCAL_KEY" in refused.stderr


@pytest.mark.parametrize(
    "flags", [("--limit", "speed=1/1"), ("--limit", "track=1"), ("--apply-delay-seconds", "-1")]
)
def test_flags_are_checked(tmp_path: Path, flags: tuple[str, str]) -> None:
    assert _run("--data", str(tmp_path), *flags, local=LOCAL).returncode == 2
