"""Answer POST /users/export/ids and POST /users/delete.

https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier
https://www.braze.com/docs/api/endpoints/user_data/post_user_delete
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from braze_local.sandbox import Sandbox
from braze_local.store import Json, Reader
from braze_local.wire import Request, Response, json_response, message

# Braze: identifiers per request, external ids and aliases together.
IDS_MAX = 50
# Braze: the priorities to choose between profiles with the same e-mail address or phone number.
_PRIORITIES = frozenset({"identified", "unidentified", "most_recently_updated"})
_EXCLUSIVE = frozenset({"identified", "unidentified"})
_NO_IDS = "Valid external_ids, user_aliases, braze_id, email_address or phone must be provided"


def export_limit(request: Request) -> str:
    """Return the rate limit: a faster one for named fields without message history."""
    history = b'"campaigns_received"' in request.body or b'"canvases_received"' in request.body
    return "export-fields" if b'"fields_to_export"' in request.body and not history else "export"


def export_ids(sandbox: Sandbox, request: Request) -> Response:
    """Return the applied state of up to 50 profiles, or those of one braze_id, address or number; and unknown ids."""
    body = request.json()
    if not isinstance(body, dict):
        return message(400, _NO_IDS)
    fields = body.get("fields_to_export")
    if fields is None and sandbox.settings.require_fields_to_export:
        return message(400, "fields_to_export is required")
    if fields is not None and not _all(fields, str):
        return message(400, "fields_to_export must be an array of strings")
    external_ids, aliases = body.get("external_ids", []), body.get("user_aliases", [])
    if not _all(external_ids, str) or not _all(aliases, dict):
        return message(400, _NO_IDS)
    request.objects = len(external_ids) + len(aliases)
    if request.objects > IDS_MAX:
        return message(400, "The max number of external_ids and aliases per request was exceeded")
    singles = {name: body[name] for name in _SINGLES if isinstance(body.get(name), str)}
    if not request.objects and not singles:
        return message(400, _NO_IDS)
    if len(singles) > 1:
        return message(400, f"Only one of {', '.join(_SINGLES)} can be included per request")
    request.objects += len(singles)
    users, invalid = _found(sandbox.reader, external_ids, aliases, singles)
    answer: Json = {"users": [_exported(user, fields) for user in users]}
    if invalid:
        answer["invalid_user_ids"] = invalid
    return json_response(201, answer | {"message": "success"})


def _found(
    reader: Reader, external_ids: list[str], aliases: list[Json], singles: dict[str, str]
) -> tuple[list[Json], list[Any]]:
    by_id = reader.profiles_by_external_id(external_ids)
    users = {by_id[one]["braze_id"]: by_id[one] for one in external_ids if one in by_id}
    invalid: list[Any] = [one for one in dict.fromkeys(external_ids) if one not in by_id]
    for alias in aliases:
        user = reader.profile_by_alias(str(alias.get("alias_label")), str(alias.get("alias_name")))
        if user is None:
            invalid.append(alias)
        else:
            users[user["braze_id"]] = user
    for name, value in singles.items():
        for user in _SINGLES[name](reader, value):
            users[user["braze_id"]] = user
    return list(users.values()), invalid


def _by_braze_id(reader: Reader, braze_id: str) -> list[Json]:
    user = reader.profile_by_braze_id(braze_id)
    return [user] if user else []


def _exported(user: Json, fields: list[str] | None) -> Json:
    """Return the whole profile, with `appboy_id` as the older name of `braze_id`, or the named fields."""
    profile = user | {"appboy_id": user["braze_id"]}
    return profile if fields is None else {name: profile[name] for name in fields if name in profile}


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


_SINGLES = {
    "braze_id": _by_braze_id,
    "email_address": Reader.profiles_by_email,
    "phone": Reader.profiles_by_phone,
}


def delete_users(sandbox: Sandbox, request: Request) -> Response:
    """Delete the profiles of up to 50 identifiers of one kind; `deleted` also counts unknown ones, as Braze does.

    The deletion is applied after the delay, in order: a later request for the same user creates a new profile.
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
        if not _PRIORITIES.issuperset(order) or _EXCLUSIVE.issubset(order):
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
