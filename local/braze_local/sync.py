"""Answer POST /users/track/sync: one object, applied before the answer.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track_synchronous
"""

from __future__ import annotations

import asyncio
import sqlite3
import time

import msgspec

from braze_local.applier import apply_changes
from braze_local.changes import Change
from braze_local.sandbox import Sandbox
from braze_local.tally import Tally
from braze_local.track import NOTHING_VALID, arrays_of, errors_of, problems_of
from braze_local.wire import Request, Response, json_response, message


async def track_sync(sandbox: Sandbox, request: Request) -> Response:
    """Apply one attributes, event or purchase object and return the user as it then is.

    `users` is empty when ``_update_existing_only`` met no user. Overtakes whatever is still on its way.
    """
    arrays = arrays_of(request.json())
    request.objects = sum(len(array) for array in arrays.values())
    if request.objects > 1:
        return message(400, "Max Input Length Exceeded")
    problems = problems_of(arrays)
    if len(problems) == request.objects:
        return json_response(400, {"message": NOTHING_VALID} | errors_of(problems))
    now_seconds = time.time()
    change = Change(now_seconds, "track", msgspec.json.encode(arrays))

    def command(connection: sqlite3.Connection) -> Tally:
        return apply_changes(connection, [change], now_seconds, sandbox.writer.rules)

    sandbox.meter.add(await asyncio.wrap_future(sandbox.writer.run(command)))
    ((sent,),) = arrays.values()
    user = sandbox.reader.profile(sent["external_id"]) if "external_id" in sent else None
    shown = (
        [{"external_id": user["external_id"], "custom_attributes": user["custom_attributes"]}] if user else []
    )
    return json_response(201, {"users": shown, "message": "success"})
