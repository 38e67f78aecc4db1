"""Describe what goes wrong: one fault, as POST /_local/faults takes it. Pure, apart from the clock of a hint."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from braze_local.distortion import Distortion, Placed
from braze_local.wire import Header, Response, json_response, message

Kind = Literal[
    "status", "rate_limit", "html502", "login_page", "empty", "queued", "truncate", "broken_json", "timeout",
    "reset", "reject", "minor_error", "drop", "error_without_index", "error_out_of_range", "fewer_processed",
]  # fmt: skip
Hint = Literal["classic", "mau", "retry-after", "none"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]

OBJECT_KINDS = frozenset(
    {"reject", "minor_error", "drop", "error_without_index", "error_out_of_range", "fewer_processed"}
)
# These answer as if, or after, the request took effect, so that is what happens unless told otherwise.
_APPLY_UNLESS_TOLD = frozenset({"truncate", "broken_json", "queued", "minor_error"})
_STATUS = {"status": 500, "rate_limit": 429, "html502": 502, "login_page": 200, "empty": 200, "queued": 202}
# How long a timeout holds the connection; how long a refused client is told to wait.
_TIMEOUT_SECONDS, _WAIT_SECONDS = 60.0, 1.0
_GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"
_LOGIN_PAGE = b'<!DOCTYPE html><html><body><form action="/login"><input name="user"></form></body></html>\n'
_HTML = b"text/html"
# What an answer that is cut off would have said, had the request been applied.
_SUCCESS = Response(201, b'{"attributes_processed":75,"message":"success"}')


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """Describe one fault.

    `path` may hold wildcards (``/catalogs/*``); `method` None means any. With `external_ids` or `item_ids`
    it concerns only calls that hold one of them. Of those, `skip` pass first, then `times` are hit (None =
    all), each with `probability` drawn from `seed`. `name` is what it is counted under when it fires.

    Kinds for the whole call: `status` (with `body`, sent as it is when a string, else as JSON, and
    `headers`), `rate_limit` (429 with a `hint` of `seconds`), `html502`, `login_page`, `empty`, `queued`
    (202), `truncate` (the connection breaks off in the body), `broken_json` (a whole answer, half a body),
    `timeout` (held for `seconds`), `reset`. `apply` says whether the request takes effect although its answer
    is lost or wrong; None means no, except for `truncate`, `broken_json` and `queued`. What takes effect does
    so `delay_seconds` later than usual.

    Kinds for single objects of a call that is served: `reject` (an error entry of `error_type`), `minor_error`
    (an error entry for an object that is counted as processed, and applied unless `apply` is false), `drop`
    (a clean answer, never applied), `error_without_index`, `error_out_of_range`, `fewer_processed`
    (not applied unless `apply`, and the answer says so in no usable way). `entries` is how many error entries name
    each object that `reject` and `minor_error` hit. They concern the ids named, each
    with `object_probability`; without ids every object with that probability; without either one object.
    """

    path: str = "*"
    method: str | None = None
    kind: Kind = "status"
    name: str | None = None
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    body: Any = None
    headers: dict[str, str] = {}
    hint: Hint = "mau"
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    apply: bool | None = None
    delay_seconds: Seconds = 0.0
    probability: Share = 1.0
    seed: int | None = None
    seconds: Seconds | None = None
    external_ids: list[str] = []
    item_ids: list[str] = []
    object_probability: Share | None = None
    error_type: str = "fault injected by braze_local"
    entries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a fault that could not do what it says."""
        if self.object_probability is not None and not self.of_objects:
            raise ValueError(f"object_probability makes no sense with {self.kind}")
        if self.apply and self.kind in {"drop", "reject"}:
            raise ValueError(f"apply makes no sense with {self.kind}")
        if self.entries > 1 and self.kind not in {"reject", "minor_error"}:
            raise ValueError(f"entries makes no sense with {self.kind}")

    @property
    def of_objects(self) -> bool:
        """Tell whether it hits single objects rather than the whole call."""
        return self.kind in OBJECT_KINDS

    @property
    def applies(self) -> bool:
        """Tell whether the request, or the object, takes effect."""
        return self.kind in _APPLY_UNLESS_TOLD if self.apply is None else self.apply

    @property
    def label(self) -> str:
        """Return how the meter counts a request this fault has hit."""
        status = self.status or _STATUS.get(self.kind)
        return str(status) if status else self.kind

    @property
    def counted_as(self) -> str:
        """Return the name it is counted under when it fires."""
        if self.name:
            return self.name
        label = self.label if self.kind == "status" else self.kind
        return f"{label}-applied" if self.apply else label

    @property
    def held_seconds(self) -> float:
        """Return how long a timeout holds the connection."""
        return _TIMEOUT_SECONDS if self.seconds is None else self.seconds

    def answer(self, served: Response | None) -> Response:
        """Return the answer of the kinds that send one; `served` is the true one when it was applied."""
        if self.kind in {"truncate", "broken_json"}:
            true = served or _SUCCESS
            half = true.body if self.kind == "truncate" else true.body[: len(true.body) // 2]
            return Response(true.status, half, true.content_type, list(true.headers))
        if self.kind == "queued" and served and served.status >= 300:
            return served
        status = self.status or _STATUS[self.kind]
        headers: list[Header] = [(n.lower().encode(), v.encode()) for n, v in self.headers.items()]
        if self.kind == "status":
            return self._scripted(status, headers)
        if self.kind == "rate_limit":
            wait_seconds = _WAIT_SECONDS if self.seconds is None else self.seconds
            return message(status, "Too Many Requests").with_headers(_hint(self.hint, wait_seconds) + headers)
        bodies = {"html502": _GATEWAY_PAGE, "login_page": _LOGIN_PAGE, "queued": b'{"message":"queued"}'}
        kind = _HTML if self.kind in {"html502", "login_page"} else b"application/json"
        return Response(status, bodies.get(self.kind, b""), kind, headers)

    def distort(self, picked: Sequence[Placed], objects: int, distortion: Distortion) -> None:
        """Note what it does to the objects it has picked out of `objects`."""
        for number, (place, _) in enumerate(picked):
            placed = {"type": self.error_type, "input_array": place[0], "index": place[1]}
            if self.kind == "reject":
                distortion.rejected[place] = self.error_type
                distortion.more.extend([placed] * (self.entries - 1))
                continue
            if not self.applies:
                distortion.unapplied.add(place)
            if self.kind == "minor_error":
                distortion.more.extend([placed] * self.entries)
            if self.kind in {"drop", "minor_error"}:
                continue
            distortion.hidden[place[0]] += 1
            entry: dict[str, Any] = {"type": self.error_type}
            if self.kind == "error_out_of_range":
                entry |= {"input_array": place[0], "index": objects + number}
            if self.kind != "fewer_processed":
                distortion.more.append(entry)

    def _scripted(self, status: int, headers: list[Header]) -> Response:
        if isinstance(self.body, str):
            kind = next((v for n, v in headers if n == b"content-type"), b"text/plain; charset=utf-8")
            return Response(status, self.body.encode(), kind, [h for h in headers if h[0] != b"content-type"])
        body = {"message": "fault injected by braze_local"} if self.body is None else self.body
        return json_response(status, body, headers)


def _hint(hint: Hint, wait_seconds: float) -> list[Header]:
    seconds = b"%d" % math.ceil(wait_seconds)
    if hint == "classic":
        reset = b"%d" % math.ceil(time.time() + wait_seconds)
        return [(b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", reset)]
    names = {"mau": b"x-ratelimit-retry-after", "retry-after": b"retry-after"}
    return [(names[hint], seconds)] if hint in names else []
