"""Define scripted faults (POST /_local/faults), choose the ones that hit a request, and count them."""

from __future__ import annotations

import fnmatch
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from braze_local.wire import Header, ObjectFaults, PlacedObject, Response, json_response, message

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
# The responses of these kinds suggest that the request took effect, so by default it does.
_APPLY_UNLESS_TOLD = frozenset({"truncate", "broken_json", "queued", "minor_error"})
_STATUS = {"status": 500, "rate_limit": 429, "html502": 502, "login_page": 200, "empty": 200, "queued": 202}
# Default hold time of a timeout, and default wait time of a 429.
_TIMEOUT_SECONDS, _WAIT_SECONDS = 60.0, 1.0
_GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"
_LOGIN_PAGE = b'<!DOCTYPE html><html><body><form action="/login"><input name="user"></form></body></html>\n'
_HTML = b"text/html"
# The response to cut off when the request was not applied.
_SUCCESS = Response(201, b'{"attributes_processed":75,"message":"success"}')


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """Describe one fault.

    `path` may contain wildcards (``/catalogs/*``); `method` None means any. With `external_ids` or `item_ids`
    the fault concerns only requests with one of them. Of the matching requests, `skip` pass, then `times`
    (None = all) are hit, each with `probability` drawn from `seed`. `name` is the key of its counts.

    Kinds for the whole request: `status` (with `headers` and `body`: a string as it is, else JSON), `rate_limit`
    (429 with a `hint` of `seconds`), `html502`, `login_page`, `empty`, `queued` (202), `truncate` (the
    connection ends within the body), `broken_json` (a complete response, half a body), `timeout` (held for
    `seconds`), `reset`. `apply` decides whether the request takes effect although its response is lost or
    wrong; None means no, except for `truncate`, `broken_json` and `queued`. It takes effect `delay_seconds`
    later than usual.

    Kinds for single objects of a request that is served: `reject` (an error entry of `error_type`),
    `minor_error` (an error entry for an object that is counted as processed, and applied unless `apply` is
    false), `drop` (a success, never applied), `error_without_index`, `error_out_of_range`, `fewer_processed`
    (not applied unless `apply`; the response does not identify the object). `entries` is the number of error
    entries per object of `reject` and `minor_error`. They hit the given ids, each with `object_probability`;
    without ids, each object with that probability; without both, one object.
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
        """Raise ValueError for contradictory fields."""
        if self.object_probability is not None and not self.of_objects:
            raise ValueError(f"object_probability makes no sense with {self.kind}")
        if self.apply and self.kind in {"drop", "reject"}:
            raise ValueError(f"apply makes no sense with {self.kind}")
        if self.entries > 1 and self.kind not in {"reject", "minor_error"}:
            raise ValueError(f"entries makes no sense with {self.kind}")

    @property
    def of_objects(self) -> bool:
        """Return whether the fault hits single objects, not the whole request."""
        return self.kind in OBJECT_KINDS

    @property
    def applies(self) -> bool:
        """Return whether the request or the object takes effect."""
        return self.kind in _APPLY_UNLESS_TOLD if self.apply is None else self.apply

    @property
    def label(self) -> str:
        """Return the outcome that the meter counts for a request with this fault."""
        status = self.status or _STATUS.get(self.kind)
        return str(status) if status else self.kind

    @property
    def counted_as(self) -> str:
        """Return the key of its counts."""
        if self.name:
            return self.name
        label = self.label if self.kind == "status" else self.kind
        return f"{label}-applied" if self.apply else label

    @property
    def held_seconds(self) -> float:
        """Return the hold time of a timeout."""
        return _TIMEOUT_SECONDS if self.seconds is None else self.seconds

    def answer(self, served: Response | None) -> Response:
        """Return the faulty response; `served` is the true response of an applied request."""
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

    def hit_objects(self, picked: Sequence[PlacedObject], objects: int, object_faults: ObjectFaults) -> None:
        """Add the faults of the picked objects to `object_faults`; `objects` is the number of objects sent."""
        for number, (place, _) in enumerate(picked):
            placed = {"type": self.error_type, "input_array": place[0], "index": place[1]}
            if self.kind == "reject":
                object_faults.rejected[place] = self.error_type
                object_faults.extra_errors.extend([placed] * (self.entries - 1))
                continue
            if not self.applies:
                object_faults.unapplied.add(place)
            if self.kind == "minor_error":
                object_faults.extra_errors.extend([placed] * self.entries)
            if self.kind in {"drop", "minor_error"}:
                continue
            object_faults.uncounted[place[0]] += 1
            entry: dict[str, Any] = {"type": self.error_type}
            if self.kind == "error_out_of_range":
                entry |= {"input_array": place[0], "index": objects + number}
            if self.kind != "fewer_processed":
                object_faults.extra_errors.append(entry)

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


Objects = Callable[[], list[PlacedObject]]


@dataclass(slots=True)
class Hit:
    """Hold the faults of one request: at most one for the whole request, any number for its objects."""

    request: Fault | None = None
    objects: ObjectFaults | None = None
    delay_seconds: float = 0.0


@dataclass(slots=True)
class _QueuedFault:
    fault: Fault
    rng: random.Random
    ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = frozenset(self.fault.external_ids) | frozenset(self.fault.item_ids)

    def matches(self, method: str, path: str, objects: Objects) -> bool:
        fault = self.fault
        if fault.method not in {None, method} or not fnmatch.fnmatchcase(path, fault.path):
            return False
        return not self.ids or any(one.identity in self.ids for one in objects())

    def draw(self) -> bool:
        """Skip a request, or draw whether it is hit."""
        fault = self.fault
        if fault.skip:
            fault.skip -= 1
            return False
        return fault.probability >= 1 or self.rng.random() < fault.probability

    def pick(self, objects: list[PlacedObject]) -> list[PlacedObject]:
        """Draw the objects to hit."""
        candidates = [one for one in objects if one.identity in self.ids] if self.ids else objects
        share = self.fault.object_probability
        if share is not None:
            return [one for one in candidates if share >= 1 or self.rng.random() < share]
        return candidates if self.ids or not candidates else [self.rng.choice(candidates)]


class FaultQueue:
    """Hold the scripted faults in order.

    A request gets the first matching fault for the whole request, and every matching fault for objects. Faults
    with ids come first, so that a poison record is hit regardless of the other faults.
    """

    def __init__(self) -> None:
        self._scripted: list[_QueuedFault] = []
        self._calls: Counter[str] = Counter()
        self._objects: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        """Add a fault to the end of the queue."""
        # Repeatable draws, not secrets.
        self._scripted.append(_QueuedFault(fault, random.Random(fault.seed)))  # ruff: ignore[suspicious-non-cryptographic-random-usage]

    def clear(self) -> None:
        """Delete every fault, but keep the counts."""
        self._scripted.clear()

    def listed(self) -> list[Fault]:
        """Return the pending faults, with the remaining values of `skip` and `times`."""
        return [entry.fault for entry in self._scripted]

    def fired(self) -> dict[str, dict[str, int]]:
        """Return the number of requests and objects that each fault has hit, by name."""
        return {name: {"calls": n, "objects": self._objects[name]} for name, n in self._calls.items()}

    def reset_fired(self) -> None:
        """Reset the counts."""
        self._calls.clear()
        self._objects.clear()

    def hit(self, method: str, path: str, objects: Objects) -> Hit:
        """Return and count the faults of a request; `objects` is called only when a fault needs it."""
        if not self._scripted:
            return Hit()
        matching = [entry for entry in self._scripted if entry.matches(method, path, objects)]
        calls = [entry for entry in matching if not entry.fault.of_objects]
        call = next((entry for entry in sorted(calls, key=lambda e: not e.ids) if entry.draw()), None)
        hit = Hit(call.fault if call else None)
        if call:
            self._count(call, 0)
            hit.delay_seconds = call.fault.delay_seconds
        if call is None or call.fault.applies:
            self._hit_objects(hit, [entry for entry in matching if entry.fault.of_objects], objects)
        return hit

    def _hit_objects(self, hit: Hit, entries: list[_QueuedFault], objects: Objects) -> None:
        for entry in entries:
            picked = entry.pick(objects()) if entry.draw() else []
            if picked:
                hit.objects = hit.objects or ObjectFaults()
                entry.fault.hit_objects(picked, len(objects()), hit.objects)
                self._count(entry, len(picked))

    def _count(self, entry: _QueuedFault, objects: int) -> None:
        fault = entry.fault
        self._calls[fault.counted_as] += 1
        self._objects[fault.counted_as] += objects
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                self._scripted.remove(entry)
