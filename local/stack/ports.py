"""Choose a port for each part: the requested one, else the last one, else the default or the next free one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from stack.errors import PortTakenError, StackError

HOST = "127.0.0.1"
DEFAULT_PORTS = {
    "postgres": 5433, "s3": 9000, "personalize": 9100, "braze": 9200, "shop": 9300, "airflow": 8080
}  # fmt: skip
_TRIES = 100


def variable(part: str) -> str:
    """Return the environment variable that sets a part's port."""
    return f"STACK_{part.upper()}_PORT"


def is_free(port: int) -> bool:
    """Return whether a loopback port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class PortBook:
    """Store the port of each part in `home`/ports.json, for all commands."""

    def __init__(self, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._path = home / "ports.json"
        self._environ = environ
        self._ports: dict[str, int] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def get(self, part: str) -> int:
        """Return the stored, requested or default port of a part, without a check."""
        return self._ports.get(part) or self._requested(part) or DEFAULT_PORTS[part]

    def choose(self, part: str, running_on: int | None, say: Callable[[str], None]) -> int:
        """Choose and store the port of a part; `running_on` is its port if it runs already.

        Raises PortTakenError if the requested port is taken, StackError if the part runs on another port.
        """
        requested = self._requested(part)
        if running_on is not None:
            if requested not in {None, running_on}:
                raise StackError(
                    f"{part} runs on port {running_on}, but {variable(part)}={requested}. Stop the stack first (down)."
                )
            return self._store(part, running_on)
        if requested is not None:
            if not is_free(requested):
                raise PortTakenError(
                    f"port {requested} ({variable(part)}) is taken by another program. "
                    f"Stop it, or set {variable(part)}."
                )
            return self._store(part, requested)
        return self._store(part, self._next_free(part, say))

    def _next_free(self, part: str, say: Callable[[str], None]) -> int:
        first = self._ports.get(part, DEFAULT_PORTS[part])
        others = {port for name, port in self._ports.items() if name != part}
        for port in range(first, first + _TRIES):
            if port not in others and is_free(port):
                if port != first:
                    say(f"port {first} is taken, so {part} uses {port} (set {variable(part)} to choose)")
                return port
        raise PortTakenError(f"ports {first} to {first + _TRIES - 1} are taken; set {variable(part)}.")

    def _requested(self, part: str) -> int | None:
        text = self._environ.get(variable(part))
        if not text:
            return None
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise StackError(f"{variable(part)}={text!r} is not a port number (1 to 65535).")
        return int(text)

    def _store(self, part: str, port: int) -> int:
        if self._ports.get(part) != port:
            self._ports[part] = port
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._ports, indent=2) + "\n")
        return port
