"""Put the parts of the real-time services together, and answer their requests by path."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from botocore.model import OperationModel

from personalize_local.errors import ApiError, invalid_input
from personalize_local.protocol import Reply, RestProtocol
from personalize_local.real_time.context import RealTime
from personalize_local.real_time.models import Models
from personalize_local.real_time.registry import OPERATIONS
from personalize_local.real_time.rows import Rows
from personalize_local.real_time.streams import Streams
from personalize_local.storage import Storage
from personalize_local.store import Store

_EVENTS = "personalize-events"


class RealTimeService:
    """Hold models and streams behind personalize-runtime and personalize-events."""

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
        """Remove users from what was streamed, and drop all copies in which they may be."""
        self.streams.erase(datasets, user_ids)
        self._rows.forget()
        self._models.forget()

    def post(self, path: str, region: str, body: bytes) -> Reply | None:
        """Answer a POST; None for a path that is not of these services."""
        operation = self._protocol.operation_at(path)
        if operation is None:
            return None
        try:
            call = self._protocol.parse(operation, body)
            serve = OPERATIONS[operation.service_model.service_name][operation.name]
            around = RealTime(region, self._store, self.streams, self._rows, self._models)
            output = serve(around, call.params)
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
    """Say it as InvalidInputException where the model knows no other error: PutEvents."""
    if error.code.startswith("Resource") and error.code not in {s.name for s in operation.error_shapes}:
        return invalid_input(error.message)
    return error
