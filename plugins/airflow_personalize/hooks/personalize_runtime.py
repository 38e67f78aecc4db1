"""Call the real-time services: stream events, items and users in, get recommendations out."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.utils.helpers import prune_dict
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_personalize.refusals import error_code, personalize_errors

BATCH_RECORDS = 10  # the API takes as many in one call, of every kind
# Sessions with buffered events, until a call is full; an event takes up to 10 KB.
OPEN_SESSIONS = 2_000
_EVENT_IDS = uuid.UUID(
    "6f6a2f57-6c0e-5d5c-9a51-4d7a51a0f0b7"
)  # ours; any fixed one makes equal ids for equal events


class Put(NamedTuple):
    """One Put operation.

    :param operation: as boto3 spells it.
    :param owner: member that says where the records go: ``datasetArn`` or ``trackingId``.
    :param records: member that holds them.
    :param requests_per_second: the service's quota for a dataset group.
    :param events: records are events; each needs a session id and an event id.
    :param sessions: one call is for one user's session.
    """

    operation: str
    owner: str
    records: str
    requests_per_second: float
    events: bool = False
    sessions: bool = False


# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
PUT_EVENTS = Put("put_events", "trackingId", "eventList", 1000, events=True, sessions=True)
PUT_ITEMS = Put("put_items", "datasetArn", "items", 10)
PUT_USERS = Put("put_users", "datasetArn", "users", 10)
PUT_ACTIONS = Put("put_actions", "datasetArn", "actions", 10)
PUT_ACTION_INTERACTIONS = Put(
    "put_action_interactions", "trackingId", "actionInteractions", 1000, events=True
)


@dataclass
class RequestPace:
    """Space the calls of all threads evenly, at most ``per_second``.

    :param clock: monotonic seconds.
    """

    per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def wait(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            now = self.clock()
            turn = max(self._next, now)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


@dataclass
class Sent:
    """Counts of the records that one task put.

    :param bytes: size of the bodies of accepted calls, which the service bills.
    :param refused: records that the service refused.
    """

    records: int = 0
    requests: int = 0
    bytes: int = 0
    refused: int = 0

    def add(self, other: Sent) -> None:
        """Add the counts of another call."""
        self.records += other.records
        self.requests += other.requests
        self.bytes += other.bytes
        self.refused += other.refused


OnRefused = Callable[[int, str], None]
"""Takes the position of a refused record, from 1, and the service's message, which may quote the record."""
_REFUSAL = "InvalidInputException"
# Adaptive retries slow down all calls of a client after a throttled one.
_PATIENT = Config(retries={"mode": "adaptive", "total_max_attempts": 8}, max_pool_connections=64)


class PersonalizeEventsHook(AwsBaseHook):
    """Put records, ten a call, no faster than the service takes them.

    Wraps :external+boto3:py:class:`boto3.client("personalize-events") <PersonalizeEvents.Client>`. The service
    takes or refuses a call as a whole. Putting records again is safe: items, users and actions replace those of
    the same id, events with the same ``eventId`` count once, and one is derived for events that have none.

    Additional arguments (such as ``aws_conn_id``) go to
    :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "personalize-events"
        super().__init__(*args, **kwargs)

    @property
    def config(self) -> Config:
        """Return the botocore configuration; what the connection or the caller sets has priority."""
        return _PATIENT.merge(super().config)

    def put(
        self,
        operation: Put,
        owner: str,
        records: Iterable[Mapping[str, Any]],
        *,
        requests_per_second: float | None = None,
        connections: int = 1,
        on_refused: OnRefused | None = None,
    ) -> Sent:
        """Put all records.

        :param operation: one of the operations of this module.
        :param owner: the dataset's ARN, or the tracking id.
        :param records: with the API's members; ``properties`` may be a mapping.
        :param requests_per_second: default: the service's quota.
        :param connections: concurrent calls; with more than one, the order of calls is not kept.
        :param on_refused: called for each record that the service refuses; the other records of its call are put.
            None: a refused call is an error.
        :raises PersonalizeFatalError: a call was refused; the message names its records by their position, from 1.
        :raises PersonalizeRetriableError: the dataset or tracker is being changed.
        """
        pace = RequestPace(requests_per_second or operation.requests_per_second)
        send = _Sender(self.conn, operation, owner, pace, on_refused, self.aws_conn_id)
        sent, pending = Sent(), deque[Future[Sent]]()
        with ThreadPoolExecutor(connections) as threads:
            try:
                for positions, body in _requests(operation, records):
                    if len(pending) == 2 * connections:
                        sent.add(pending.popleft().result())
                    pending.append(threads.submit(send, positions, body))
                while pending:
                    sent.add(pending.popleft().result())
            finally:
                for future in pending:
                    future.cancel()
        return sent


@dataclass(frozen=True)
class _Sender:
    """Put the records of one call."""

    client: Any
    operation: Put
    owner: str
    pace: RequestPace
    on_refused: OnRefused | None
    conn_id: str | None

    def __call__(self, positions: list[int], body: dict[str, Any]) -> Sent:
        request = {self.operation.owner: self.owner, **body}
        self.pace.wait()
        places = ", ".join(str(position) for position in positions)
        try:
            with personalize_errors(
                f"put records {places} of {self.operation.records}", None, conn_id=self.conn_id
            ):
                getattr(self.client, self.operation.operation)(**request)
        except Exception as error:
            cause = error.__cause__
            if self.on_refused is None or not isinstance(cause, ClientError) or error_code(cause) != _REFUSAL:
                raise
            return self._without_refused(positions, body, cause, self.on_refused)
        return Sent(len(positions), 1, len(json.dumps(request, default=str)))

    def _without_refused(
        self, positions: list[int], body: dict[str, Any], error: ClientError, on_refused: OnRefused
    ) -> Sent:
        """Bisect a refused call until only the refused records are skipped."""
        if len(positions) == 1:
            on_refused(positions[0], str(error.response["Error"].get("Message", "")))
            return Sent(requests=1, refused=1)
        sent, middle, member = Sent(requests=1), len(positions) // 2, self.operation.records
        for part in (slice(None, middle), slice(middle, None)):
            sent.add(self(positions[part], {**body, member: body[member][part]}))
        return sent


def _requests(
    operation: Put, records: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Yield the positions of a call's records, and its body without the owner."""
    batches: dict[tuple[str, str], _Batch] = {}
    for position, raw in enumerate(records, start=1):
        record = _record(operation, raw)
        # PutEvents has these once a call.
        members = ("userId", "sessionId") if operation.sessions else ()
        head = {member: record.pop(member) for member in members if member in record}
        key = (str(head.get("userId", "")), str(head.get("sessionId", "")))
        batch = batches.setdefault(key, _Batch(head))
        batch.add(position, record)
        if len(batch.positions) == BATCH_RECORDS:
            yield batches.pop(key).request(operation)
        elif len(batches) > OPEN_SESSIONS:
            yield batches.pop(next(iter(batches))).request(operation)
    for batch in batches.values():
        yield batch.request(operation)


@dataclass
class _Batch:
    """The records of one call."""

    head: dict[str, Any]
    positions: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, position: int, record: dict[str, Any]) -> None:
        self.positions.append(position)
        self.records.append(record)

    def request(self, operation: Put) -> tuple[list[int], dict[str, Any]]:
        return self.positions, {**self.head, operation.records: self.records}


def _record(operation: Put, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record as the API takes it: properties as text, events with an id and a session."""
    record = dict(prune_dict(dict(raw)))
    if isinstance(record.get("properties"), Mapping):
        record["properties"] = json.dumps(record["properties"], separators=(",", ":"), ensure_ascii=False)
    if operation.events:
        # The reference advises to take the session for the user while the user is unknown; this is the reverse.
        if "userId" in record:
            record.setdefault("sessionId", record["userId"])
        content = json.dumps(record, sort_keys=True, default=str)
        record.setdefault("eventId", str(uuid.uuid5(_EVENT_IDS, content)))
    return record


class PersonalizeRuntimeHook(AwsBaseHook):
    """Get recommendations, rankings and actions, one user a call.

    Wraps :external+boto3:py:class:`boto3.client("personalize-runtime") <PersonalizeRuntime.Client>`. All
    requests have the API's members; None values are dropped.

    Additional arguments (such as ``aws_conn_id``) go to
    :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "personalize-runtime"
        super().__init__(*args, **kwargs)

    def get_recommendations(self, **request: Any) -> dict[str, Any]:
        """Return ``itemList``, best first, and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_recommendations", request)

    def get_personalized_ranking(self, **request: Any) -> dict[str, Any]:
        """Return ``personalizedRanking``: the items of ``inputList``, best first; and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetPersonalizedRanking.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_personalized_ranking", request)

    def get_action_recommendations(self, **request: Any) -> dict[str, Any]:
        """Return ``actionList``, best first, and ``recommendationId``.

        .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetActionRecommendations.html

        :raises PersonalizeFatalError: the request is wrong, or the campaign does not exist.
        """
        return self._answer("get_action_recommendations", request)

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        place = request.get("campaignArn") or request.get("recommenderArn")
        with personalize_errors(f"{operation.replace('_', ' ')} of {place}", None, conn_id=self.aws_conn_id):
            reply = getattr(self.conn, operation)(**prune_dict(request))
        return {member: value for member, value in reply.items() if member != "ResponseMetadata"}
