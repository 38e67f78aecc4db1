from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from braze_client.pace import Burst
from braze_client.pace_file import FilePace

BURST = Burst(3_000, 3)
WRITER = """
import sys
from pathlib import Path
from braze_client.pace_file import FilePace
pace = FilePace("one workspace", Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    with pace.locked() as numbers:
        numbers.issued += 1
"""
HOLDER = """
import sys, time
from pathlib import Path
from braze_client.pace_file import FilePace
with FilePace("one workspace", Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def issued(folder: Path, identity: str = "one workspace") -> float:
    with FilePace(identity, folder).locked() as pace:
        return pace.issued


def test_processes_count_together(tmp_path: Path) -> None:
    writers = [start(WRITER, tmp_path, 2_000) for _ in range(3)]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    # A process that finds the lock held for 20 ms goes on alone; on a busy machine that may happen.
    assert 5_900 <= issued(tmp_path) <= 6_000


def test_workspaces_are_kept_apart_and_not_named(tmp_path: Path) -> None:
    for identity in ("https://one key-1", "https://two key-1"):
        with FilePace(identity, tmp_path).locked() as pace:
            pace.issued += 1
    assert len(list(tmp_path.iterdir())) == 2
    assert issued(tmp_path, "https://one key-1") == 1
    held = b"".join(file.name.encode() + file.read_bytes() for file in tmp_path.iterdir())
    assert b"key-1" not in held
    assert b"https" not in held


def test_a_process_that_dies_with_the_lock_leaves_it_free(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait(10)
    holder.stdout.close()
    with FilePace("one workspace", tmp_path).locked() as pace:
        pace.issued = 7.0
    assert issued(tmp_path) == 7


def test_a_process_that_is_stopped_with_the_lock_does_not_stop_others(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    try:
        ours = FilePace("one workspace", tmp_path)
        with ours.locked() as pace:
            pace.issued = 3.0
        with ours.locked() as pace:  # what this process knows is kept meanwhile
            assert pace.issued == 3
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 4096, b'{"json": 1}' * 50, b"\xff" * 292])
def test_a_broken_or_foreign_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    issued(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    with FilePace("one workspace", tmp_path).locked() as pace:
        assert pace.issued == 0
        pace.issued = 5.0
    assert issued(tmp_path) == 5


def test_a_half_written_file_is_replaced(tmp_path: Path) -> None:
    with FilePace("one workspace", tmp_path).locked() as pace:
        pace.issued = 5.0
    (file,) = tmp_path.iterdir()
    raw = bytearray(file.read_bytes())
    raw[3] ^= 1
    file.write_bytes(raw)
    assert issued(tmp_path) == 0


def test_every_user_of_the_machine_may_take_part(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    issued(folder)
    assert folder.stat().st_mode & 0o7777 == 0o1777
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o666


def test_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, victim = tmp_path / "shared", tmp_path / "victim"
    issued(folder)
    (file,) = folder.iterdir()
    file.unlink()
    victim.write_text("precious")
    file.symlink_to(victim)
    with FilePace("one workspace", folder).locked() as pace:
        pace.reserve(time.time(), 1, BURST)
    assert victim.read_text() == "precious"
    assert "not shared" in caplog.text


def test_without_a_folder_a_process_goes_by_what_it_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    ours = FilePace("one workspace", tmp_path / "taken")
    with ours.locked() as pace:
        pace.issued = 3.0
    with ours.locked() as pace:
        assert pace.issued == 3
    assert "not shared" in caplog.text


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    ours = FilePace("one workspace", tmp_path)
    with pytest.raises(KeyError), ours.locked():
        raise KeyError
    (path,) = tmp_path.iterdir()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
