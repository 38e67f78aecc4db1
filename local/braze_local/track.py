"""Answer POST /users/track.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track
"""

from __future__ import annotations

from typing import Any

import msgspec

from braze_local.objects import NOT_AN_EXISTING_USER, PROBLEM_OF
from braze_local.sandbox import Sandbox
from braze_local.settings import ObjectLimit
from braze_local.wire import Request, Response, json_response, message

NOTHING_VALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
Arrays = dict[str, list[Any]]
# What is wrong, by array and index.
Problems = dict[tuple[str, int], str]


def track(sandbox: Sandbox, request: Request) -> Response:
    """Check every object, take the valid ones, and name the others by array and index."""
    body = request.json()
    arrays = _arrays(body)
    request.objects = sum(len(array) for array in arrays.values())
    if _too_many(arrays, sandbox.settings.objects_per_request, sandbox.settings.object_limit):
        return message(400, "Max Input Length Exceeded")
    problems = _problems(arrays)
    if sandbox.settings.missing_users == "report":
        problems |= _missing_users(sandbox, arrays, problems)
    if len(problems) == request.objects:
        return json_response(400, {"message": NOTHING_VALID} | _errors(problems))
    valid = _without(arrays, problems) if problems else arrays
    # The body as it came is the cheapest thing to keep; it is rewritten only when something must go.
    whole = not problems and len(arrays) == len(body)
    sandbox.accept("track", request.body if whole else msgspec.json.encode(valid))
    processed = {f"{name}_processed": len(array) for name, array in valid.items()}
    return json_response(201, processed | {"message": "success"} | _errors(problems))


def _arrays(body: Any) -> Arrays:
    """Return the arrays that hold anything; top-level keys Braze does not know are ignored."""
    if not isinstance(body, dict):
        return {}
    return {name: body[name] for name in PROBLEM_OF if isinstance(body.get(name), list) and body[name]}


def _too_many(arrays: Arrays, allowed: int, limit: ObjectLimit) -> bool:
    lengths = [len(array) for array in arrays.values()]
    return (sum(lengths) if limit == "combined" else max(lengths, default=0)) > allowed


def _problems(arrays: Arrays) -> Problems:
    found: Problems = {}
    for name, array in arrays.items():
        problem_of = PROBLEM_OF[name]
        for index, candidate in enumerate(array):
            problem = problem_of(candidate)
            if problem is not None:
                found[name, index] = problem
    return found


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


def _without(arrays: Arrays, problems: Problems) -> Arrays:
    valid = {
        name: [candidate for index, candidate in enumerate(array) if (name, index) not in problems]
        for name, array in arrays.items()
    }
    return {name: array for name, array in valid.items() if array}


def _errors(problems: Problems) -> dict[str, Any]:
    entries = [
        {"type": problem, "input_array": name, "index": index}
        for (name, index), problem in sorted(problems.items())
    ]
    return {"errors": entries} if entries else {}
