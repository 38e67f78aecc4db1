"""Start the sink and the contenders, each in a process of its own, and read what they hand back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.certificate import write_certificate
from benchmarks.contenders import Contender
from benchmarks.places import ROOT, emptied_folder, folder

_TIMEOUT_SECONDS = 900


class ContenderFailedError(Exception):
    """A contender ended without a result; the message says where its output lies."""


@dataclass(frozen=True)
class Sink:
    """A running sink."""

    ports: dict[str, int]
    certificate: Path

    def url(self, scheme: str = "http") -> str:
        """Return where contenders post to."""
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}"

    def set(self, **settings: Any) -> None:
        """Set what the next run meets and forget the last one."""
        self._ask("/__settings", json.dumps(settings).encode())

    def stats(self) -> dict[str, Any]:
        """Return what arrived since then."""
        answer: dict[str, Any] = self._ask("/__stats")
        return answer

    def users(self) -> dict[str, dict[str, Any]]:
        """Return each user's last object that was taken."""
        answer: dict[str, dict[str, Any]] = self._ask("/__users")
        return answer

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url() + path, data=body, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)


@contextmanager
def running_sink() -> Generator[Sink, None, None]:
    """Run a sink with and without TLS on free ports."""
    with ExitStack() as stack:
        # A folder for each sink: several start at once, and a certificate fits its own key only.
        tls = stack.enter_context(tempfile.TemporaryDirectory(dir=folder("tls")))
        certificate, key = write_certificate(Path(tls))
        command = [sys.executable, "-m", "benchmarks.sink"]
        command += ["--certificate", str(certificate), "--key", str(key)]
        process = stack.enter_context(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT / "local")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Sink(json.loads(process.stdout.readline()), certificate)
        finally:
            process.stdin.close()
            process.wait(timeout=30)


class Run:
    """One contender at work."""

    def __init__(self, contender: Contender, options: dict[str, Any], function: str | None = None) -> None:
        """Start it."""
        self._contender = contender
        self._place = Path(tempfile.mkdtemp(prefix="run-", dir=folder("runs")))
        self._files = {name: str(self._place / name) for name in ("result", "claims")}
        job = self._place / "job.json"
        job.write_text(json.dumps({**options, **self._files}))
        module = f"benchmarks.{contender.module}"
        command = [str(contender.python), "-m", "benchmarks.worker", module]
        command += [function or contender.function, str(job)]
        with (self._place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=_environment(contender, options), stdout=log, stderr=subprocess.STDOUT
            )

    def result(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
        """Wait for it and return its measurements. Raises ContenderFailedError."""
        try:
            self._process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        result = Path(self._files["result"])
        if self._process.returncode != 0 or not result.exists():
            raise ContenderFailedError(f"{self._contender.name} failed; see {self._place / 'log'}")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured

    def claimed(self) -> list[str]:
        """Return the ids that it holds for delivered."""
        return Path(self._files["claims"]).read_text().split()


def run_prepared(contender: Contender, options: dict[str, Any], program: int = 0) -> Run:
    """Start a contender with an empty state, its ``prepare`` done where it has one."""
    options = {
        **options,
        "state": str(emptied_folder(f"state/{contender.module}-{contender.function}-{program}")),
    }
    if contender.prepares:
        Run(contender, options, function="prepare").result()
    return Run(contender, options)


def forget_runs() -> None:
    """Delete what finished runs left; what failed ones left stays to be read."""
    for result in folder("runs").glob("*/result"):
        shutil.rmtree(result.parent)


def _environment(contender: Contender, options: dict[str, Any]) -> dict[str, str]:
    environment = dict(os.environ)
    paths = [str(path) for path in contender.import_path]
    if contender.apart is None:
        paths += [str(ROOT / "plugins"), str(ROOT / "local")]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    # Nothing of Airflow's is written outside the benchmarks' folder, and no proxy stands between us and the sink.
    environment |= {"AIRFLOW_HOME": str(folder("airflow")), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    if tmpdir := options.get("tmpdir"):
        environment["TMPDIR"] = tmpdir
    if certificate := options.get("certificate"):
        environment |= {"SSL_CERT_FILE": certificate, "REQUESTS_CA_BUNDLE": certificate}
    return environment
