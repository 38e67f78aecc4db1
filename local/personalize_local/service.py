"""Answer requests: parse, dispatch to an operation inside one transaction, serialise, start its jobs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from personalize_local.context import Context
from personalize_local.errors import ApiError, not_built
from personalize_local.jobs.job import Surroundings
from personalize_local.jobs.runner import Runner
from personalize_local.operations.registry import OPERATIONS
from personalize_local.protocol import Protocol, Reply, error_reply, region_of_request
from personalize_local.storage import Storage
from personalize_local.store import Store

DEFAULT_ACCOUNT = "000000000000"
# Paths of the two real-time services: personalize-runtime and personalize-events.
_REAL_TIME_PATHS = {
    "/recommendations": "personalize-runtime",
    "/personalize-ranking": "personalize-runtime",
    "/action-recommendations": "personalize-runtime",
    "/events": "personalize-events",
    "/items": "personalize-events",
    "/users": "personalize-events",
    "/actions": "personalize-events",
    "/action-interactions": "personalize-events",
}


@dataclass(frozen=True)
class Settings:
    """Say how a server behaves: `time_scale` seconds per visible state, worker processes for heavy work."""

    data: Path
    account: str = DEFAULT_ACCOUNT
    time_scale: float = 1.0
    workers: int = 2


class Service:
    """Hold the state and the jobs behind the HTTP server."""

    def __init__(self, settings: Settings) -> None:
        self._account = settings.account
        self._default_region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
        self._protocol = Protocol()
        self._storage = Storage(settings.data)
        self._store = Store(self._storage.database)
        self._storage.clear_scratch()
        self._storage.collect_garbage(self._store, starting=True)
        self._runner = Runner(
            Surroundings(self._store, self._storage),
            # One second is long enough for a person, and for a sensor with a short poll, to see a state.
            dwell_seconds=settings.time_scale,
            workers=settings.workers,
        )

    def start(self) -> None:
        """Take up what a former process left unfinished."""
        self._runner.resume()

    def close(self) -> None:
        """Stop all work and close the files; unfinished jobs go on at the next start."""
        self._runner.close()
        self._store.close()
        self._storage.close()

    def get(self, path: str) -> Reply:
        """Answer a GET: only `/health` has one."""
        if path != "/health":
            return error_reply(ApiError("UnknownOperationException", f"Nothing at GET {path}.", 404))
        body = json.dumps({"status": "ok", "service": "personalize_local"}).encode()
        return Reply(200, body, {"Content-Type": "application/json"})

    def post(self, path: str, headers: Message, body: bytes) -> Reply:
        """Answer a POST: an operation of the control plane, or an error in AWS's form."""
        try:
            target = headers.get("X-Amz-Target")
            if target is None:
                raise _no_target(path)
            return self._call(target, headers, body)
        except ApiError as error:
            return error_reply(error)
        except Exception:  # ruff: ignore[blind-except] - a client must get an answer, whatever broke
            traceback.print_exc(file=sys.stderr)
            return error_reply(ApiError("InternalFailure", "Internal error, see the server's log.", 500))

    def _call(self, target: str, headers: Message, body: bytes) -> Reply:
        call = self._protocol.parse(target, body)
        operation = OPERATIONS.get(call.operation.name)
        if operation is None:
            raise not_built(f"the operation {call.operation.name}")
        region = region_of_request(headers, self._default_region)
        with self._store.transaction() as store:
            context = Context(region, self._account, store, call.operation)
            output = operation(context, call.params)
        for arn in context.to_submit:
            self._runner.submit(arn)
        for arn in context.to_cancel:
            self._runner.cancel(arn)
        return self._protocol.serialise(call.operation, output)


def _no_target(path: str) -> ApiError:
    service = _REAL_TIME_PATHS.get(path)
    if service is not None:
        return not_built(f"{service} (POST {path})")
    return ApiError("UnknownOperationException", f"POST {path} has no header X-Amz-Target.")
