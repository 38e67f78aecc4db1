"""Serve the requests of the real-time services by path."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from botocore.model import OperationModel

from personalize_local.errors import ApiError, invalid_input
from personalize_local.protocol import Reply, RestProtocol
from personalize_local.real_time import events, recommendations
from personalize_local.real_time.context import Models, Operation, RealTimeContext
from personalize_local.real_time.rows import Rows
from personalize_local.real_time.streams import Streams
from personalize_local.storage import Storage
from personalize_local.store import Store

_EVENTS = "personalize-events"
OPERATIONS: dict[str, dict[str, Operation]] = {
    "personalize-runtime": recommendations.OPERATIONS,
    "personalize-events": events.OPERATIONS,
}


class RealTimeService:
    """Models and streams behind personalize-runtime and personalize-events."""

    def __init__(self, store: Store, storage: Storage) -> None:
        self.streams = Streams(store, storage)
        self._store = store
        self._protocol = RestProtocol()
        self._rows = Rows(store, storage, self.streams)
        self._models = Models()

    def close(self) -> None:
        """Close the files."""
        self.streams.close()

    def forget_users(self, datasets: Sequence[int], user_ids: Sequence[str]) -> None:
        """Delete the streamed rows of users, and all caches that may contain them."""
        self.streams.erase(datasets, user_ids)
        self._rows.forget()
        self._models.forget()

    def post(self, path: str, region: str, body: bytes) -> Reply | None:
        """Handle a POST; None for a path of other services."""
        operation = self._protocol.operation_at(path)
        if operation is None:
            return None
        try:
            call = self._protocol.parse(operation, body)
            serve = OPERATIONS[operation.service_model.service_name][operation.name]
            context = RealTimeContext(region, self._store, self.streams, self._rows, self._models)
            output = serve(context, call.params)
            if operation.service_model.service_name == _EVENTS:
                self.streams.count_bytes(len(body))
            return self._protocol.serialise(operation, output)
        except ApiError as error:
            return self._protocol.error_reply(operation, _declared(error, operation))
        except Exception:  # ruff: ignore[blind-except] - a client must get an answer, whatever broke
            traceback.print_exc(file=sys.stderr)
            internal = ApiError("InternalFailure", "Internal error, see the server's log.", 500)
            return self._protocol.error_reply(operation, internal)


def _declared(error: ApiError, operation: OperationModel) -> ApiError:
    """Return an InvalidInputException if the operation (PutEvents) does not declare the error."""
    if error.code.startswith("Resource") and error.code not in {s.name for s in operation.error_shapes}:
        return invalid_input(error.message)
    return error
