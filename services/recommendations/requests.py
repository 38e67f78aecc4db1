"""Read what a request asks for, by hand: models of a framework take longer than the look-up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from braze_client.payloads import dumps

MAX_LIMIT = 100
MAX_USERS = 100
_MAX_ID_CHARACTERS = 512
_MAX_BODY_BYTES = 200_000
_TITLES = {
    400: "Bad request", 401: "No valid API key", 404: "Not found", 405: "Method not allowed", 413: "Body too large",
    415: "Unsupported media type", 422: "Bad request", 429: "Too many requests", 500: "Internal error",
    503: "Not ready",
}  # fmt: skip


class ProblemError(Exception):
    """An error answer, in the one form that all have: RFC 9457.

    :param code: for programs; :param detail: for people, without anything from the request.
    """

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(detail)

    def response(self) -> Response:
        """Render it."""
        body = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(dumps(body), self.status, headers, media_type="application/problem+json")


class Asked(NamedTuple):
    """What a request asks for.

    :param programs: each once, in the order of the request.
    :param limit: how many items of each list at most.
    """

    users: list[str]
    programs: list[str]
    limit: int


def read_query(query: bytes, programs: Sequence[str]) -> Asked:
    """Read a query string, which names one user.

    :param programs: those that are served.
    :raises ProblemError: when it asks for what there is not.
    """
    values: dict[str, list[str]] = {"user_id": [], "limit": [], "program": []}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if (known := values.get(_decoded(name))) is not None:
            known.append(_decoded(value))
    if len(values["user_id"]) > 1 or len(values["limit"]) > 1:
        detail = "user_id and limit may be given once; ask for several users by POST."
        raise ProblemError(400, "repeated_parameter", detail)
    user, limit = next(iter(values["user_id"]), None), next(iter(values["limit"]), str(MAX_LIMIT))
    count = _limit(int(limit) if limit.isdecimal() and len(limit) < 4 else None, 400)
    return Asked([_user(user, 400)], _programs(values["program"], programs, 400), count)


async def read_body(headers: Mapping[bytes, bytes], request: Request, programs: Sequence[str]) -> Asked:
    """Read a JSON body.

    :param programs: those that are served.
    :raises ProblemError: when it is none, or asks for what there is not.
    """
    asked = await _json(headers, request)
    users, limit = asked.pop("user_ids", None), asked.pop("limit", MAX_LIMIT)
    names = asked.pop("programs", ())
    if asked:
        raise ProblemError(422, "unknown_member", "The body may have user_ids, programs and limit only.")
    if not isinstance(users, list) or not 1 <= len(users) <= MAX_USERS:
        raise ProblemError(422, "bad_user_ids", f"user_ids must be an array of 1 to {MAX_USERS} texts.")
    if names != () and not (isinstance(names, list) and names):
        raise ProblemError(422, "bad_programs", "programs must be an array of names, or be left out.")
    return Asked([_user(user, 422) for user in users], _programs(names, programs, 422), _limit(limit, 422))


async def _json(headers: Mapping[bytes, bytes], request: Request) -> dict[str, Any]:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ProblemError(415, "no_json", "Send the body as application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise ProblemError(413, "body_too_large", f"The body may have {_MAX_BODY_BYTES:,} bytes.")
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise ProblemError(400, "no_json", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise ProblemError(422, "no_object", "The body must be a JSON object.")
    return found


def _decoded(text: bytes) -> str:
    """Decode a name or a value of a query; few hold an escape."""
    plain = text.decode(errors="replace")
    return unquote_plus(plain) if b"%" in text or b"+" in text else plain


def _user(user: Any, status: int) -> str:
    # Half of a surrogate pair is no text that can be encoded.
    if (
        isinstance(user, str)
        and 0 < len(user) <= _MAX_ID_CHARACTERS
        and (user.isascii() or _is_unicode(user))
    ):
        return user
    detail = f"user_id must be a text of 1 to {_MAX_ID_CHARACTERS} characters."
    raise ProblemError(status, "bad_user_id", detail)


def _is_unicode(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _programs(names: Sequence[Any], programs: Sequence[str], status: int) -> list[str]:
    if not names and len(programs) > 1:
        raise ProblemError(status, "no_program", f"Name a program: {', '.join(programs)}.")
    for name in names:
        if name not in programs:
            unknown = 404 if status == 400 else status
            raise ProblemError(unknown, "unknown_program", f"There are the programs {', '.join(programs)}.")
    return list(dict.fromkeys(names or programs))


def _limit(limit: Any, status: int) -> int:
    # JSON has one kind of number: 10.0 is the whole number 10.
    if (
        isinstance(limit, int | float)
        and not isinstance(limit, bool)
        and 1 <= limit <= MAX_LIMIT
        and limit % 1 == 0
    ):
        return int(limit)
    raise ProblemError(status, "bad_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
