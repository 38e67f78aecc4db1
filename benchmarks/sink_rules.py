"""Decide what the sink answers, and remember what it took."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from braze_local.limits import Limiter, Window, WindowKind

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found", 411: "Length Required"}
_EXTERNAL_ID = re.compile(rb'"external_id": ?"([^"]+)"')
_MARKER = b'"external_id"'
# In the fault experiment these users are refused whenever they come, as a bad record is: 2 % of the calls of 75.
_REFUSED_EVERY, _REFUSED_AT = 3_750, 7
_FAULTS = [429] * 5 + [502] * 2 + [200]  # in a hundred calls
_BAD_GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_SIGN_IN_PAGE = b"<html><head><title>Sign in to continue</title></head><body>Proxy</body></html>"
_REFUSAL = "The value provided for the 'email' field is not a valid email."


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    def rendered(self) -> bytes:
        """Return it as it goes over the wire."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}"]
        lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


@lru_cache(maxsize=1_024)
def _taken(objects: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    body = f'{{"attributes_processed":{objects},"message":"success"}}'.encode()
    return Answer(201, body, headers).rendered()


def is_refused(user_id: str) -> bool:
    """Say whether the fault experiment refuses this user's object."""
    return int(user_id[1:]) % _REFUSED_EVERY == _REFUSED_AT


@dataclass
class Rules:
    """What the next requests meet. ``limit``: requests, seconds of a window.

    ``dialect``: how the limit shows: in headers with the end of a window aligned to the clock (``classic``) or of one
    that slides (``sliding``), in a 429 only beside the headers of an hourly window (``mau``), or nowhere (``none``).
    ``faults``: 5 % of the calls are answered 429, 2 % 502 with an HTML page, 1 % 200 with a proxy's HTML page (none
    of these is taken), and calls that hold one of the bad records get a 201 that names it.
    """

    delay_seconds: float = 0.0
    limit: tuple[int, int] | None = None
    dialect: str = "classic"
    faults: bool = False
    _taken_bodies: list[tuple[bytes, frozenset[str]]] = field(default_factory=list)
    _statuses: Counter[int] = field(default_factory=Counter)
    _random: random.Random = field(default_factory=lambda: random.Random(1))
    _deck: list[int] = field(default_factory=list)
    _limiter: Limiter = field(init=False)
    _first_at: float = 0.0
    _last_at: float = 0.0
    _generous: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Compute what does not change between requests."""
        # No limit that anybody could meet, yet headers as Braze always sends them.
        reset = str(int(time.time()) + 3_600)
        windows = {name: Window(*self.limit or (1, 1)) for name in ("track", "track-burst")}
        windows["track-hourly"] = Window(1_000_000, 3_600)
        kind: WindowKind = "sliding" if self.dialect == "sliding" else "fixed"
        self._limiter = Limiter("mau" if self.dialect == "mau" else "classic", windows, kind=kind)
        self._generous = (
            ("X-RateLimit-Limit", "100000000"),
            ("X-RateLimit-Remaining", "99999999"),
            ("X-RateLimit-Reset", reset),
        )

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Rules:
        """Return the rules that a control request names."""
        limit = settings.pop("limit", None)
        return cls(limit=(limit[0], limit[1]) if limit else None, **settings)

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """Return the rendered answer to one request of a contender."""
        if not path.startswith(b"/users/track"):
            return _elsewhere(method, path)
        self._last_at = time.time()
        self._first_at = self._first_at or self._last_at
        headers = self._generous
        if self.limit is not None:
            allowed, headers = self._pass_limit()
            if not allowed:
                return self._count(429, Answer(429, b'{"message":"Rate limit exceeded"}', headers))
        if self.faults:
            return self._answer_with_faults(body, headers)
        self._taken_bodies.append((body, frozenset()))
        self._statuses[201] += 1
        return _taken(body.count(_MARKER), headers)

    def _answer_with_faults(self, body: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
        fault = self._next_fault()
        if fault == 429:
            # As if the burst limit of 3,000 calls per 3 seconds had been met.
            reset = ("X-RateLimit-Reset", str(int(time.time() // 3 + 1) * 3))
            headers = (("X-RateLimit-Limit", "250000"), ("X-RateLimit-Remaining", "0"), reset)
            return self._count(429, Answer(429, b'{"message":"Rate limit exceeded"}', headers))
        if fault:
            page = _BAD_GATEWAY_PAGE if fault == 502 else _SIGN_IN_PAGE
            return self._count(fault, Answer(fault, page, content_type="text/html"))
        ids = [match.decode() for match in _EXTERNAL_ID.findall(body)]
        refused = {index: user for index, user in enumerate(ids) if is_refused(user)}
        document: dict[str, Any] = {"attributes_processed": len(ids) - len(refused), "message": "success"}
        if refused:
            document["errors"] = [
                {"type": _REFUSAL, "input_array": "attributes", "index": index} for index in refused
            ]
        if len(refused) == len(ids):
            document["message"] = _REFUSAL
            return self._count(400, Answer(400, json.dumps(document).encode(), headers))
        self._taken_bodies.append((body, frozenset(refused.values())))
        return self._count(201, Answer(201, json.dumps(document).encode(), headers))

    def _next_fault(self) -> int:
        """Return the status of the next fault, or 0: the same hundred cards, shuffled anew each time."""
        if not self._deck:
            self._deck = [*_FAULTS, *[0] * (100 - len(_FAULTS))]
            self._random.shuffle(self._deck)
        return self._deck.pop()

    def _pass_limit(self) -> tuple[bool, tuple[tuple[str, str], ...]]:
        allowed, headers = self._limiter.take("track")
        if self.dialect == "none":
            headers = []
        return allowed, tuple((name.decode(), value.decode()) for name, value in headers)

    def _count(self, status: int, answer: Answer) -> bytes:
        self._statuses[status] += 1
        return answer.rendered()

    def stats(self) -> dict[str, Any]:
        """Return requests, answers by status, objects and distinct users taken, and seconds of activity."""
        users: set[bytes] = set()
        objects = 0
        for body, refused in self._taken_bodies:
            ids = _EXTERNAL_ID.findall(body)
            objects += len(ids) - len(refused)
            users.update(ids if not refused else (user for user in ids if user.decode() not in refused))
        return {
            "requests": sum(self._statuses.values()),
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "objects": objects,
            "users": len(users),
            "seconds": self._last_at - self._first_at,
        }

    def accepted_values(self) -> dict[str, dict[str, Any]]:
        """Return each taken user's last object without its id."""
        values: dict[str, dict[str, Any]] = {}
        for body, refused in self._taken_bodies:
            for entry in json.loads(body)["attributes"]:
                user = entry.pop("external_id")
                if user not in refused:
                    values[user] = entry
        return values


def _elsewhere(method: bytes, path: bytes) -> bytes:
    # A delivery may look after its catalogue first; that is taken and not measured.
    if not path.startswith(b"/catalogs"):
        return Answer(404, b'{"message":"Not Found"}').rendered()
    if method == b"GET":
        return Answer(200, b'{"items":[],"catalogs":[],"message":"success"}').rendered()
    return Answer(202, b'{"message":"success"}').rendered()
