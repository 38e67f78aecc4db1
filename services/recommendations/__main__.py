"""Run the service: ``python -m recommendations --port 8090 --data DIR --keys FILE --bucket NAME``."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import shutil
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import] - starts the updater
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from recommendations.keys import KeyRing
from recommendations.settings import VARIABLE, Settings, read_config
from recsync.errors import FatalError

log = logging.getLogger(__name__)

_INCLUDE = Path(__file__).resolve().parents[2] / "include"
_RESTART_SECONDS = 1.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recommendations", description="The recommendations service."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the stores, of this service alone"
    )
    parser.add_argument("--keys", type=Path, required=True, help="made by python -m recommendations.keys new")
    parser.add_argument("--include", type=Path, default=_INCLUDE, help="folder with the program files")
    parser.add_argument("--bucket", help="of programs whose file names none")
    parser.add_argument("--config", type=Path, help="YAML: programs, fields, live sources, limits")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer (default: 1)")
    parser.add_argument("--metrics-port", type=int, help="port of /metrics; none without it")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Start the updater and the workers; return when they are stopped."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return _serve(arguments)
    except FatalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace) -> int:
    settings = Settings(
        data=arguments.data.resolve(),
        keys=arguments.keys.resolve(),
        include=arguments.include.resolve(),
        bucket=arguments.bucket or os.environ.get("AIRFLOW__RECSYNC__BUCKET"),
        workers=arguments.workers,
        config=read_config(arguments.config),
    )
    for program in settings.programs.values():
        settings.bucket_of(program)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (settings.data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FatalError(
            f"{settings.data} is used by another service; give each one a --data of its own."
        ) from None
    KeyRing(settings.keys, settings.config.rate_limit)  # says what is wrong before a process is started
    os.environ[VARIABLE] = settings.model_dump_json()
    # The figures of an earlier start would be added to those of this one.
    figures = settings.data / "metrics"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(figures)
    # prometheus_client reads the variable when it is imported.
    from recommendations import metrics

    if arguments.metrics_port:
        metrics.serve(arguments.metrics_port, arguments.host)
    # uvicorn ends itself by the signal that it caught.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    updater = _Updater()
    updater.start()
    try:
        uvicorn.run(
            "recommendations.app:create",
            factory=True,
            host=arguments.host,
            port=arguments.port,
            workers=settings.workers,
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        )
    finally:
        updater.stop()
    return 0


class _Updater(threading.Thread):
    """Keep the updater's process running."""

    def __init__(self) -> None:
        super().__init__(name="updater", daemon=True)
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        while not self._ending.is_set():
            command = [sys.executable, "-m", "recommendations.updates"]
            self._process = subprocess.Popen(command)  # ruff: ignore[subprocess-without-shell-equals-true] - our own module
            status = self._process.wait()
            if not self._ending.wait(_RESTART_SECONDS):
                log.error("The updater ended with status %d and is started again.", status)

    def stop(self) -> None:
        self._ending.set()
        if self._process:
            self._process.terminate()
        self.join(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
