from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from warehouse_local.dsn import make_dsn
from warehouse_local.server import DATABASES, EmbeddedServer, binary, command_prefix, running


def test_both_databases_answer_on_tcp_with_the_password(server: EmbeddedServer) -> None:
    for name in DATABASES:
        with psycopg.connect(server.dsn(name)) as connection:
            assert connection.execute(
                "SELECT current_database(), current_setting('timezone')"
            ).fetchone() == (
                name,
                "UTC",
            )


def test_a_wrong_password_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(make_dsn("127.0.0.1", server.port, "postgres", "wrong", "warehouse"))


def test_the_unix_socket_answers_with_the_password(server: EmbeddedServer) -> None:
    assert server.socket_dir is not None
    with psycopg.connect(
        host=str(server.socket_dir),
        port=server.port,
        user="postgres",
        password=server.password,
        dbname="warehouse",
    ) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_listens_on_loopback_only(server: EmbeddedServer) -> None:
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_a_socket_path_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    assert EmbeddedServer(tmp_path / ("long" * 30), 5999, "x").socket_dir is None


def test_data_survive_a_restart_in_a_folder_closed_to_others(free_tcp_port: int) -> None:
    """A clone below /root lies in a folder of mode 0700; nothing above the data may be opened up for it."""
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        embedded = EmbeddedServer(Path(closed, "home", "data"), free_tcp_port, "secret")
        with running(embedded), psycopg.connect(embedded.dsn()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with running(embedded), psycopg.connect(embedded.dsn()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert stat.S_IMODE(Path(closed).stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its privileges")
def test_postgres_does_not_run_as_root(server: EmbeddedServer) -> None:
    assert server.data_dir.stat().st_uid != 0
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_an_ordinary_user_needs_no_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command_prefix(binary("postgres"), tmp_path) == []


def test_serving_from_the_command_line(tmp_path: Path, free_tcp_port: int) -> None:
    (tmp_path / "password").write_text("from a file\n")
    arguments = ["--data", str(tmp_path / "data"), "--port", str(free_tcp_port)]
    arguments += ["--password-file", str(tmp_path / "password")]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "warehouse_local",
            "serve",
            *arguments,
            "--password-file",
            tmp_path / "password",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "local")},
        stderr=subprocess.DEVNULL,
    )
    try:
        embedded = EmbeddedServer(tmp_path / "data", free_tcp_port, "from a file")
        while not embedded.is_ready():
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.send_signal(2)
        assert process.wait(30) == 0
