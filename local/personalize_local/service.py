"""Serve requests: parse, run the operation in one transaction, serialise, start its jobs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from personalize_local.context import Context
from personalize_local.errors import ApiError, not_built
from personalize_local.jobs.job import JobContext
from personalize_local.jobs.runner import Runner
from personalize_local.meter import report
from personalize_local.operations.registry import OPERATIONS
from personalize_local.protocol import Protocol, Reply, error_reply, region_of_request
from personalize_local.quotas import MIN_IMPORT_INTERACTIONS, Quotas
from personalize_local.real_time.service import RealTimeService
from personalize_local.storage import Storage
from personalize_local.store import Store

DEFAULT_ACCOUNT = "000000000000"
# Batch jobs see streamed events from this age on:
# https://docs.aws.amazon.com/personalize/latest/dg/getting-batch-recommendations.html
_EVENT_AGE_MINUTES = 15


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    :param time_scale: minimum seconds in each state.
    :param workers: processes for heavy work.
    :param event_age_seconds: age from which batch jobs see a streamed event; None for 15 scaled minutes.
    :param min_import_interactions: minimum records of an import of interactions.
    :param line_faults: share of a batch job's output lines with an injected fault.
    :param refuse_unchanged_updates: whether an UPDATE without new data is refused.
    """

    data: Path
    account: str = DEFAULT_ACCOUNT
    time_scale: float = 1.0
    workers: int = 2
    quotas: Quotas = field(default_factory=Quotas)
    event_age_seconds: float | None = None
    min_import_interactions: int = MIN_IMPORT_INTERACTIONS
    line_faults: float = 0.0
    refuse_unchanged_updates: bool = False

    @property
    def batch_event_age_seconds(self) -> float:
        """Return the age from which batch jobs see a streamed event; a minute lasts `time_scale` seconds."""
        if self.event_age_seconds is not None:
            return self.event_age_seconds
        return _EVENT_AGE_MINUTES * self.time_scale


class Service:
    """State and jobs behind the HTTP server."""

    def __init__(self, settings: Settings) -> None:
        self._account = settings.account
        self._quotas = settings.quotas
        self._refuse_unchanged_updates = settings.refuse_unchanged_updates
        self._default_region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
        self._protocol = Protocol()
        self._storage = Storage(settings.data)
        self._store = Store(self._storage.database)
        self._storage.clear_scratch()
        self._storage.collect_garbage(self._store, starting=True)
        self._real_time = RealTimeService(self._store, self._storage)
        self._runner = Runner(
            JobContext(
                self._store,
                self._storage,
                self._real_time.streams.move,
                self._real_time.forget_users,
                settings.batch_event_age_seconds,
                settings.min_import_interactions,
                settings.line_faults,
            ),
            # One second is long enough for a user, or a sensor with a short poll interval, to see a state.
            dwell_seconds=settings.time_scale,
            workers=settings.workers,
        )

    def start(self) -> None:
        """Resume the jobs that an earlier process left unfinished."""
        self._runner.resume()

    def close(self) -> None:
        """Stop all jobs and close the files; unfinished jobs resume at the next start."""
        self._runner.close()
        self._real_time.close()
        self._store.close()
        self._storage.close()

    def get(self, path: str) -> Reply:
        """Answer a GET: `/health` and `/_local/meter`."""
        if path == "/_local/meter":
            return _json_reply(report(self._store, self._real_time.streams.received_bytes()))
        if path != "/health":
            return error_reply(ApiError("UnknownOperationException", f"Nothing at GET {path}.", 404))
        return _json_reply({"status": "ok", "service": "personalize_local"})

    def post(self, path: str, headers: Message, body: bytes) -> Reply:
        """Answer a POST: an operation of the control plane by its header, of the real-time services by path."""
        target = headers.get("X-Amz-Target")
        try:
            if target is None:
                return self._call_by_path(path, headers, body)
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
            context = Context(
                region, self._account, store, call.operation, self._quotas, self._refuse_unchanged_updates
            )
            output = operation(context, call.params)
        for arn in context.to_submit:
            self._runner.submit(arn)
        for arn in context.to_cancel:
            self._runner.cancel(arn)
        return self._protocol.serialise(call.operation, output)

    def _call_by_path(self, path: str, headers: Message, body: bytes) -> Reply:
        region = region_of_request(headers, self._default_region)
        reply = self._real_time.post(path, region, body)
        if reply is None:
            raise ApiError("UnknownOperationException", f"POST {path} has no header X-Amz-Target.")
        return reply


def _json_reply(content: Mapping[str, object]) -> Reply:
    return Reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
