"""Answer POST /users/track and its variants /users/track/bulk and /users/track/sync.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track
https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk
https://www.braze.com/docs/api/endpoints/user_data/post_user_track_synchronous
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Container
from typing import Any

import msgspec

from braze_local.applier import Change, apply_changes
from braze_local.identifiers import identifier_of, key_of
from braze_local.meter import Tally
from braze_local.sandbox import Sandbox
from braze_local.settings import ObjectLimit
from braze_local.track_validation import NOT_AN_EXISTING_USER, PROBLEM_OF, identifier_problem
from braze_local.wire import ObjectFaults, Place, Request, Response, json_response, message

NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
# Braze: the body of a bulk request holds at most 2 MB, and at most 100 objects for one user.
BULK_BODY_MAX_BYTES = 2 * 1024 * 1024
BULK_OBJECTS_PER_USER = 100
Arrays = dict[str, list[Any]]
# The error type of each invalid object, by array and index.
Problems = dict[Place, str]
# Profile fields that later objects may name the user by.
_LOOKED_UP = ("email", "phone")
_NO_FAULTS = ObjectFaults()


async def track(sandbox: Sandbox, request: Request) -> Response:
    """Accept the valid objects, and report the others by array and index."""
    body = request.json()
    arrays = _arrays_of(body)
    request.objects = sum(len(array) for array in arrays.values())
    if _too_many(arrays, sandbox.settings.objects_per_request, sandbox.settings.object_limit):
        return message(400, "Max Input Length Exceeded")
    if sandbox.settings.missing_users == "adopt":
        await _adopt(sandbox, arrays)
    return _accept_valid(sandbox, request, arrays, whole=len(arrays) == len(body))


async def track_bulk(sandbox: Sandbox, request: Request) -> Response:
    """Accept more objects per request; a closed beta, so only where the settings open it."""
    if sandbox.settings.bulk != "open":
        status = int(sandbox.settings.bulk)
        return message(status, "Access Denied" if status == 403 else "Not Found")
    if request.received_bytes > BULK_BODY_MAX_BYTES:
        return message(413, "Request Entity Too Large")
    body = request.json()
    arrays = _arrays_of(body)
    request.objects = sum(len(array) for array in arrays.values())
    if request.objects > sandbox.settings.bulk_objects_per_request or _exceeds_user_limit(
        arrays, request.objects
    ):
        return message(400, "Max Input Length Exceeded")
    if sandbox.settings.missing_users == "adopt":
        await _adopt(sandbox, arrays)
    return _accept_valid(sandbox, request, arrays, whole=len(arrays) == len(body))


async def track_sync(sandbox: Sandbox, request: Request) -> Response:
    """Apply one attributes, event or purchase object at once, before pending changes, and return the user.

    `users` is empty when ``_update_existing_only`` matches no user.
    """
    arrays = _arrays_of(request.json())
    request.objects = sum(len(array) for array in arrays.values())
    if request.objects > 1:
        return message(400, "Max Input Length Exceeded")
    problems = _problems_of(arrays)
    if len(problems) == request.objects:
        return json_response(400, {"message": NOTHING_VALID} | _errors_of(problems))
    now_seconds = time.time()
    change = Change(now_seconds, "track", msgspec.json.encode(arrays))

    def command(connection: sqlite3.Connection) -> Tally:
        return apply_changes(connection, [change], now_seconds, sandbox.writer.rules)

    sandbox.meter.add(await asyncio.wrap_future(sandbox.writer.run(command)))
    ((sent,),) = arrays.values()
    user = sandbox.reader.profile(sent["external_id"]) if sent.get("external_id") else None
    shown = (
        [{"external_id": user["external_id"], "custom_attributes": user["custom_attributes"]}] if user else []
    )
    return json_response(201, {"users": shown, "message": "success"})


def _accept_valid(sandbox: Sandbox, request: Request, arrays: Arrays, *, whole: bool) -> Response:
    """Accept the valid objects; `whole` means that the body has no keys besides the arrays."""
    problems = _problems_of(arrays)
    if sandbox.settings.missing_users != "ignore":
        problems |= _missing_users(sandbox, arrays, problems)
    faults = request.object_faults or _NO_FAULTS
    problems |= faults.rejected
    if len(problems) == request.objects:
        return json_response(400, {"message": NOTHING_VALID} | _errors_of(problems))
    valid = _without(arrays, problems) if problems else arrays
    applied = _without(arrays, problems.keys() | faults.unapplied) if faults.unapplied else valid
    # Reuse the body when all of it is applied: encoding it again costs time.
    if applied:
        payload = request.body if whole and applied is arrays else msgspec.json.encode(applied)
        sandbox.accept("track", payload, request.delay_seconds)
    processed = {f"{n}_processed": max(0, len(a) - faults.uncounted[n]) for n, a in valid.items()}
    answer = processed | {"message": "success"} | _errors_of(problems, faults.extra_errors)
    return json_response(201, answer)


def _arrays_of(body: Any) -> Arrays:
    """Return the arrays that are not empty; ignore unknown top-level keys."""
    if not isinstance(body, dict):
        return {}
    return {name: body[name] for name in PROBLEM_OF if isinstance(body.get(name), list) and body[name]}


def _too_many(arrays: Arrays, allowed: int, limit: ObjectLimit) -> bool:
    lengths = [len(array) for array in arrays.values()]
    return (sum(lengths) if limit == "combined" else max(lengths, default=0)) > allowed


def _problems_of(arrays: Arrays) -> Problems:
    found: Problems = {}
    for name, array in arrays.items():
        problem_of = PROBLEM_OF[name]
        for index, candidate in enumerate(array):
            problem = problem_of(candidate)
            if problem is not None:
                found[name, index] = problem
    return found


def _exceeds_user_limit(arrays: Arrays, objects: int) -> bool:
    """Return whether a bulk request has too many objects for one user."""
    if objects <= BULK_OBJECTS_PER_USER:
        return False
    per_user = Counter(
        str(one.get("external_id")) for array in arrays.values() for one in array if isinstance(one, dict)
    )
    per_user.pop("None", None)
    return max(per_user.values(), default=0) > BULK_OBJECTS_PER_USER


async def _adopt(sandbox: Sandbox, arrays: Arrays) -> None:
    """Create the unknown users of update-only objects, as a brand's import does; a braze_id cannot be imported."""
    named: dict[str, dict[str, Any]] = {}
    for array in arrays.values():
        for candidate in array:
            if identifier_problem(candidate) is None and not _creates(candidate):
                name = identifier_of(candidate)
                named[key_of(candidate)] = {name: candidate[name], "_update_existing_only": False}
    unknown = sandbox.unknown_users(named) if named else set()
    if imported := [named[key] for key in sorted(unknown) if "braze_id" not in named[key]]:
        await sandbox.import_profiles(imported)


def _missing_users(sandbox: Sandbox, arrays: Arrays, problems: Problems) -> Problems:
    """Find update-only objects of users that do not exist; register the users that other objects create."""
    created: set[str] = set()
    required: dict[Place, str] = {}
    named: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        for index, candidate in enumerate(array):
            if (name, index) in problems:
                continue
            # Field by field: most objects name an external_id, and nothing else of an identifier.
            key = candidate.get("external_id") or key_of(candidate)
            if not _creates(candidate):
                required[name, index] = key
                named[key] = candidate
            else:
                created.add(key)
                created |= {key_of({field: candidate[field]}) for field in _LOOKED_UP if candidate.get(field)}
    sandbox.register_users(created)
    unknown = sandbox.unknown_users(named) if named else set()
    return {
        place: f"{identifier_of(named[key])} {NOT_AN_EXISTING_USER}"
        for place, key in required.items()
        if key in unknown
    }


def _creates(candidate: dict[str, Any]) -> bool:
    """Return whether Braze creates the user of an object if there is none; for an alias only when told to."""
    only_existing = candidate.get("_update_existing_only")
    if candidate.get("external_id") is not None:
        return only_existing is not True
    if candidate.get("user_alias") is not None:
        return only_existing is False
    return candidate.get("braze_id") is None and only_existing is not True


def _without(arrays: Arrays, places: Container[Place]) -> Arrays:
    kept = {
        name: [candidate for index, candidate in enumerate(array) if (name, index) not in places]
        for name, array in arrays.items()
    }
    return {name: array for name, array in kept.items() if array}


def _errors_of(problems: Problems, more: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the `errors` of a response, by place and then `more`; empty without errors."""
    entries = [
        {"type": problem, "input_array": name, "index": index}
        for (name, index), problem in sorted(problems.items())
    ] + (more or [])
    return {"errors": entries} if entries else {}
