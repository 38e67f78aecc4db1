"""Answer POST /users/export/ids.

https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier
"""

from __future__ import annotations

from typing import Any

from braze_local.reader import Json, Reader
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response, json_response, message

# Braze: external ids and aliases together, per request.
IDS_MAX = 50
_NO_IDS = "Valid external_ids, user_aliases, braze_id, email_address or phone must be provided"


def family(request: Request) -> str:
    """Name the rate limit: a faster one when fields are named and message history is not asked for."""
    history = b'"campaigns_received"' in request.body or b'"canvases_received"' in request.body
    return "export-fields" if b'"fields_to_export"' in request.body and not history else "export"


def export_ids(sandbox: Sandbox, request: Request) -> Response:
    """Return the applied state of up to 50 profiles, and the ids that are no profile's."""
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
    """Return the whole profile (`appboy_id` is an older name of `braze_id`) or the fields named."""
    profile = user | {"appboy_id": user["braze_id"]}
    return profile if fields is None else {name: profile[name] for name in fields if name in profile}


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


_SINGLES = {
    "braze_id": _by_braze_id,
    "email_address": Reader.profiles_by_email,
    "phone": Reader.profiles_by_phone,
}
