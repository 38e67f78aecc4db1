"""Let PostgreSQL run for root, which it refuses to do, without loosening a folder that is not ours.

PostgreSQL will not start with user id 0. Under root its processes therefore run as `nobody`. Where `nobody`
cannot enter the checkout (a clone in /root, mode 0700) the processes keep one capability of root,
DAC_OVERRIDE, which containers have by default; the alternative, opening every folder up to / for everybody,
would change what belongs to somebody else. See capabilities(7), "Ambient".
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import] - running a database server is what this module is for
from pathlib import Path

from warehouse_local.errors import ServerError

_UNPRIVILEGED = "nobody"


def is_root() -> bool:
    """Tell whether this process has user id 0."""
    return os.geteuid() == 0


def give_to_server(path: Path, *, mode: int = 0o700) -> None:
    """Close `path` to everybody but the user the server runs as, which only under root is another one."""
    if is_root():
        entry = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(mode)


def command_prefix(program: Path, folder: Path) -> list[str]:
    """Say what to put before a server command so that it may run and reach `program` and `folder`.

    Empty for ordinary users. Raises ServerError, naming the way out, when no way works.
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
    # `test -w` would not do: access(2) leaves capabilities out of account.
    checks = ([str(program), "--version"], ["ls", str(folder)])
    return all(
        # Arguments are our own paths; no shell is involved.
        subprocess.run([*prefix, *check], capture_output=True, cwd="/", check=False).returncode == 0  # ruff: ignore[subprocess-without-shell-equals-true]
        for check in checks
    )
