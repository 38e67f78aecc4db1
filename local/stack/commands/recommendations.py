"""Run the recommendations service on the stack's S3."""

from __future__ import annotations

import argparse
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import] - the service is a separate program
import sys

from stack.console import make_plan
from stack.settings import REPO

HELP = "serve the published lists over HTTP, until interrupted; the stack's services must run (make up)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the port."""
    parser.add_argument("--port", type=int, default=8090)


def run(arguments: argparse.Namespace) -> int:
    """Make a key, say how to ask, and replace this process by the service."""
    plan = make_plan()
    environ = plan.recsync_environ()
    environ["PYTHONPATH"] = os.pathsep.join([str(REPO / "services"), environ["PYTHONPATH"]])
    home = plan.settings.home / "recommendations"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, shown = home / "keys.json", plan.settings.home / "secrets" / "recommendations_key"
    if not (file.exists() and shown.exists()):
        command = [sys.executable, "-m", "recommendations.keys", "--file", str(file), "new"]
        # ruff: ignore[subprocess-without-shell-equals-true] - our own command
        made = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        shown.write_text(made.stdout)
        shown.chmod(0o600)
    url = f"http://127.0.0.1:{arguments.port}/recommendations?program=grocery&user_id=1&limit=4"
    print(f'curl -H "Authorization: Bearer $(cat {shown})" "{url}"', flush=True)
    words = ["--port", str(arguments.port), "--data", str(home / "stores"), "--keys", str(file)]
    # ruff: ignore[start-process-with-no-shell] - our own command
    os.execve(sys.executable, [sys.executable, "-m", "recommendations", *words], environ)
