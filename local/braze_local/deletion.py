"""Answer POST /users/delete.

https://www.braze.com/docs/api/endpoints/user_data/post_user_delete
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response, json_response, message

# Braze: identifiers per request, all of one kind.
IDS_MAX = 50
# Braze: what may decide between several profiles with one e-mail address or phone number.
PRIORITIES = frozenset({"identified", "unidentified", "most_recently_updated"})
_EXCLUSIVE = frozenset({"identified", "unidentified"})


def delete_users(sandbox: Sandbox, request: Request) -> Response:
    """Take up to 50 identifiers of one kind; `deleted` counts what was queued, known or not, as Braze does.

    Profiles go after the apply delay, in the order in which requests are applied: what is accepted later for
    the same user makes a new profile.
    """
    body = request.json()
    given = {kind: body[kind] for kind in _PROBLEM_OF if kind in body} if isinstance(body, dict) else {}
    if len(given) != 1:
        return message(400, f"Exactly one of {', '.join(_PROBLEM_OF)} must be provided")
    ((kind, values),) = given.items()
    if not isinstance(values, list) or not values:
        return message(400, f"{kind} must be a non-empty array")
    request.objects = len(values)
    if len(values) > IDS_MAX:
        return message(400, f"At most {IDS_MAX} {kind} can be deleted per request")
    problem = next(filter(None, map(_PROBLEM_OF[kind], values)), None)
    if problem:
        return message(400, f"{kind}: {problem}")
    sandbox.accept("delete", msgspec.json.encode({"kind": kind, "values": values}), request.delay_seconds)
    return json_response(201, {"deleted": len(values), "message": "success"})


def _text_problem(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "every one must be a non-empty string"


def _alias_problem(value: Any) -> str | None:
    texts = [value.get(name) for name in ("alias_name", "alias_label")] if isinstance(value, dict) else [None]
    return None if not any(map(_text_problem, texts)) else "alias_name and alias_label are required"


def _prioritized(member: str) -> Callable[[Any], str | None]:
    def problem(value: Any) -> str | None:
        if not isinstance(value, dict) or _text_problem(value.get(member)):
            return f"every one must be an object with {member} and prioritization"
        order = value.get("prioritization")
        if not isinstance(order, list) or not order or not all(isinstance(one, str) for one in order):
            return "prioritization must be a non-empty array"
        if not PRIORITIES.issuperset(order) or _EXCLUSIVE.issubset(order):
            return "prioritization takes identified or unidentified, and most_recently_updated"
        return None

    return problem


_PROBLEM_OF: dict[str, Callable[[Any], str | None]] = {
    "external_ids": _text_problem,
    "user_aliases": _alias_problem,
    "braze_ids": _text_problem,
    "email_addresses": _prioritized("email"),
    "phone_numbers": _prioritized("phone"),
}
