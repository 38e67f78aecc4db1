"""Script what goes wrong: a queue of faults, each for some requests."""

from __future__ import annotations

import fnmatch
import random
from typing import Annotated, Any, Literal

import msgspec

from braze_local.wire import Header, Response, json_response

Kind = Literal["status", "html502", "reset", "truncate", "timeout"]
_GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """Describe one fault, as POST /_local/faults takes it.

    `path` may hold wildcards (``/catalogs/*``); `method` None means any. `skip` matching requests pass
    first, then `times` are hit (None = all), each with `probability` drawn from `seed`. `apply` says whether
    the request takes effect although its answer is lost or wrong; None means no, except for `truncate`.
    `body` is sent as it is when a string, else as JSON. `seconds` is how long `timeout` holds the request.
    """

    path: str = "*"
    method: str | None = None
    kind: Kind = "status"
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 500
    body: Any = None
    headers: dict[str, str] = {}
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    apply: bool | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    seed: int | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 60.0

    @property
    def applies(self) -> bool:
        """Tell whether the request takes effect."""
        return self.kind == "truncate" if self.apply is None else self.apply

    @property
    def label(self) -> str:
        """Return how the meter counts a request this fault has hit."""
        return {"status": str(self.status), "html502": "502"}.get(self.kind, self.kind)

    def answer(self) -> Response:
        """Return the answer of the kinds that have one."""
        if self.kind == "html502":
            return Response(502, _GATEWAY_PAGE, b"text/html")
        headers: list[Header] = [(n.lower().encode(), v.encode()) for n, v in self.headers.items()]
        if isinstance(self.body, str):
            kind = next((v for n, v in headers if n == b"content-type"), b"text/plain; charset=utf-8")
            rest = [(n, v) for n, v in headers if n != b"content-type"]
            return Response(self.status, self.body.encode(), kind, rest)
        body = {"message": "fault injected by braze_local"} if self.body is None else self.body
        return json_response(self.status, body, headers)


class Faults:
    """Hold the scripted faults in order; a request gets the first that takes it."""

    def __init__(self) -> None:
        self._scripted: list[tuple[Fault, random.Random]] = []

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the queue."""
        # Repeatable draws, not secrets.
        self._scripted.append((fault, random.Random(fault.seed)))  # ruff: ignore[suspicious-non-cryptographic-random-usage]

    def clear(self) -> None:
        """Forget every fault."""
        self._scripted.clear()

    def listed(self) -> list[Fault]:
        """Return the faults still to come, with what is left of their counts."""
        return [fault for fault, _ in self._scripted]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault this request is hit by, or None, and count it."""
        if not self._scripted:
            return None
        for entry in self._scripted:
            fault, draws = entry
            if not _matches(fault, method, path):
                continue
            if fault.skip:
                fault.skip -= 1
            elif fault.probability >= 1 or draws.random() < fault.probability:
                self._use(entry)
                return fault
        return None

    def _use(self, entry: tuple[Fault, random.Random]) -> None:
        fault = entry[0]
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                self._scripted.remove(entry)


def _matches(fault: Fault, method: str, path: str) -> bool:
    return fault.method in {None, method} and fnmatch.fnmatchcase(path, fault.path)
