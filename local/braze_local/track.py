"""Answer POST /users/track and POST /users/track/bulk.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track
https://www.braze.com/docs/api/endpoints/user_data/post_user_track_bulk
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

import msgspec

from braze_local.distortion import Distortion, Place
from braze_local.objects import NOT_AN_EXISTING_USER, PROBLEM_OF
from braze_local.sandbox import Sandbox
from braze_local.settings import ObjectLimit
from braze_local.wire import Request, Response, json_response, message

NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
# Braze: the body of a bulk request holds at most 2 MB, and at most 100 objects for one user.
BULK_BODY_MAX_BYTES = 2 * 1024 * 1024
BULK_OBJECTS_PER_USER = 100
Arrays = dict[str, list[Any]]
# What is wrong, by array and index.
Problems = dict[Place, str]


def track(sandbox: Sandbox, request: Request) -> Response:
    """Check every object, take the valid ones, and name the others by array and index."""
    body = request.json()
    arrays = arrays_of(body)
    request.objects = sum(len(array) for array in arrays.values())
    if _too_many(arrays, sandbox.settings.objects_per_request, sandbox.settings.object_limit):
        return message(400, "Max Input Length Exceeded")
    return _taken(sandbox, request, arrays, whole=len(arrays) == len(body))


def track_bulk(sandbox: Sandbox, request: Request) -> Response:
    """Take more objects per request, where the settings open it: it is a closed beta."""
    if sandbox.settings.bulk != "open":
        status = int(sandbox.settings.bulk)
        return message(status, "Access Denied" if status == 403 else "Not Found")
    if request.received_bytes > BULK_BODY_MAX_BYTES:
        return message(413, "Request Entity Too Large")
    body = request.json()
    arrays = arrays_of(body)
    request.objects = sum(len(array) for array in arrays.values())
    if request.objects > sandbox.settings.bulk_objects_per_request or _crowded(arrays, request.objects):
        return message(400, "Max Input Length Exceeded")
    return _taken(sandbox, request, arrays, whole=len(arrays) == len(body))


def _taken(sandbox: Sandbox, request: Request, arrays: Arrays, *, whole: bool) -> Response:
    """Accept what is valid; `whole` tells that the body holds nothing but the arrays."""
    problems = problems_of(arrays)
    if sandbox.settings.missing_users == "report":
        problems |= _missing_users(sandbox, arrays, problems)
    distortion = request.distortion or _NO_DISTORTION
    problems |= distortion.rejected
    if len(problems) == request.objects:
        return json_response(400, {"message": NOTHING_VALID} | errors_of(problems))
    valid = _without(arrays, problems) if problems else arrays
    applied = _without(arrays, problems.keys() | distortion.unapplied) if distortion.unapplied else valid
    # The body as it came is the cheapest thing to keep; it is rewritten only when something must go.
    if applied:
        payload = request.body if whole and applied is arrays else msgspec.json.encode(applied)
        sandbox.accept("track", payload, request.delay_seconds)
    processed = {f"{n}_processed": max(0, len(a) - distortion.hidden[n]) for n, a in valid.items()}
    answer = processed | {"message": "success"} | errors_of(problems, distortion.more)
    return json_response(201, answer)


def arrays_of(body: Any) -> Arrays:
    """Return the arrays that hold anything; top-level keys Braze does not know are ignored."""
    if not isinstance(body, dict):
        return {}
    return {name: body[name] for name in PROBLEM_OF if isinstance(body.get(name), list) and body[name]}


def _too_many(arrays: Arrays, allowed: int, limit: ObjectLimit) -> bool:
    lengths = [len(array) for array in arrays.values()]
    return (sum(lengths) if limit == "combined" else max(lengths, default=0)) > allowed


def problems_of(arrays: Arrays) -> Problems:
    """Return what is wrong with the objects, by place."""
    found: Problems = {}
    for name, array in arrays.items():
        problem_of = PROBLEM_OF[name]
        for index, candidate in enumerate(array):
            problem = problem_of(candidate)
            if problem is not None:
                found[name, index] = problem
    return found


def _crowded(arrays: Arrays, objects: int) -> bool:
    """Tell whether one user has more objects than a bulk request may hold for one."""
    if objects <= BULK_OBJECTS_PER_USER:
        return False
    per_user = Counter(
        str(one.get("external_id")) for array in arrays.values() for one in array if isinstance(one, dict)
    )
    per_user.pop("None", None)
    return max(per_user.values(), default=0) > BULK_OBJECTS_PER_USER


def _missing_users(sandbox: Sandbox, arrays: Arrays, problems: Problems) -> Problems:
    """Find objects that may only update a user who does not exist; note the users the others create."""
    created: set[str] = set()
    required: dict[tuple[str, int], str] = {}
    for name, array in arrays.items():
        for index, candidate in enumerate(array):
            external_id = None if (name, index) in problems else candidate.get("external_id")
            if external_id is None:
                continue
            if candidate.get("_update_existing_only") is True:
                required[name, index] = external_id
            else:
                created.add(external_id)
    sandbox.expect(created)
    unknown = sandbox.unknown(set(required.values())) if required else set()
    return {place: NOT_AN_EXISTING_USER for place, user in required.items() if user in unknown}


def _without(arrays: Arrays, places: Container[Place]) -> Arrays:
    kept = {
        name: [candidate for index, candidate in enumerate(array) if (name, index) not in places]
        for name, array in arrays.items()
    }
    return {name: array for name, array in kept.items() if array}


def errors_of(problems: Problems, more: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the `errors` of an answer, by place and then `more`, or nothing when there are none."""
    entries = [
        {"type": problem, "input_array": name, "index": index}
        for (name, index), problem in sorted(problems.items())
    ] + (more or [])
    return {"errors": entries} if entries else {}


_NO_DISTORTION = Distortion()
