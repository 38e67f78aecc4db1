"""Erasure requests: the queue of the next run, one object per person. No other object keeps the ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.forget.people import Identity
from recsync.recommend.lists.audience import normalized_one
from recsync.storage.bucket import Bucket
from recsync.suppression.store import USER, Suppression, SuppressionStore

_NAME_CHARACTERS = 16
_REQUEST = "request.json"
_THREADS = 8
_TRIES = 5


@dataclass(frozen=True)
class Request:
    """One person to erase from all programs over the data.

    :param name: the beginning of the user's hash; Airflow sees such names instead of ids.
    :param requested_at: ISO 8601.
    :param in_run_conf: the id was given as a DAG parameter, so that Airflow's metadata database holds it.
    :param etag: of the object; a request that was made again, with another id in Braze, has another one.
    """

    name: str
    identity: Identity
    requested_at: str
    in_run_conf: bool = False
    etag: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "identity": self.identity.to_json(),
            "requested_at": self.requested_at,
            "in_run_conf": self.in_run_conf,
        }

    @classmethod
    def from_json(cls, name: str, document: dict[str, Any], etag: str = "") -> Request:
        """Read it back."""
        identity = Identity.from_json(document["identity"])
        return cls(name, identity, document["requested_at"], document["in_run_conf"], etag)


def request_erasure(
    program_name: str, user_id: str, *, external_id: str = "", in_run_conf: bool = False
) -> str:
    """Request the erasure of one user; see :func:`request_erasures`."""
    return request_erasures(program_name, [(user_id, external_id)], in_run_conf=in_run_conf)[0]


def request_erasures(
    program_name: str, people: Iterable[tuple[str, str]], *, in_run_conf: bool = False
) -> list[str]:
    """Suppress users, by one write of each program's suppression list, and queue requests to erase them.

    :param people: ``user_id`` and the identifier in Braze, which is empty unless no audience contains the user any
        more.
    :returns: the names of the requests, which are hashes and no ids, in the order of the users.
    """
    context = StageContext.of(program_name)
    if (owner := context.program.data) is not None:
        raise FatalError(
            f"{program_name} uses the data of {owner}. Erase the person there, make forget PROGRAM={owner}: one run "
            "erases from all programs over the data."
        )
    identifier = context.program.braze.known_by
    identities: dict[str, Identity] = {}
    for user_id, external_id in people:
        if not user_id.strip():
            raise FatalError(
                "The user_id of the person to forget is empty. Give the user_id of the warehouse."
            )
        given = [normalized_one(external_id, identifier)] if external_id else []
        identities[user_id] = identities.get(user_id, Identity(user_id)).with_external_ids(given)
    # One at least: an empty change would leave the list without its key.
    if not identities:
        raise FatalError("No user_id is given. Write the user_ids of the warehouse, one a line.")
    suppression = suppress(context, identities.values())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    requests = [
        Request(suppression.digest(USER, user_id)[:_NAME_CHARACTERS], identity, now, in_run_conf)
        for user_id, identity in identities.items()
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda request: _queue(context, request), requests))
    return [request.name for request in requests]


def suppress(context: StageContext, identities: Iterable[Identity]) -> Suppression:
    """Suppress people in every program over the data, so that a program that later gets its own data keeps them out.

    :returns: the owner's list.
    """
    people = list(identities)
    users = [one.user_id for one in people]
    external_ids = [each for one in people for each in one.external_ids]
    owner, *_ = [each.store(SuppressionStore).add(users, external_ids) for each in context.over_data]
    return owner


def _queue(context: StageContext, request: Request) -> None:
    """Write a request. If one is open already, keep its time and add the new ids."""
    key = _key(context, request.name)
    for _ in range(_TRIES):
        former = read_request(context, request.name)
        merged = request
        if former is not None:
            merged = replace(
                former,
                identity=former.identity.with_external_ids(request.identity.external_ids),
                in_run_conf=former.in_run_conf or request.in_run_conf,
            )
        if merged == former:
            return
        body = json.dumps(merged.to_json()).encode()
        if context.bucket.put_if(key, body, etag=former.etag if former else None) is not None:
            return
    raise RetriableError(
        f"Other processes changed {context.bucket.uri(key)} in each of {_TRIES} attempts; retry."
    )


def read_request(context: StageContext, name: str) -> Request | None:
    """Read an open request; None when it has ended, or was never made."""
    body, etag = context.bucket.get_with_etag(_key(context, name))
    return None if body is None else Request.from_json(name, json.loads(body), etag or "")


def read_requests(context: StageContext, names: Sequence[str]) -> list[Request]:
    """Read requests by name, the oldest first; skip those that are not open."""
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda name: read_request(context, name), names)
        return sorted(filter(None, found), key=lambda request: (request.requested_at, request.name))


def is_open(context: StageContext, name: str) -> bool:
    """Return whether a request waits for a run, or for the end of the one that took it."""
    return context.bucket.etag(_key(context, name)) is not None


def delete_request(bucket: Bucket, context: StageContext, request: Request) -> None:
    """Delete a request, with objects that earlier releases kept beside it, unless it was made again since."""
    key = _key(context, request.name)
    if bucket.etag(key) not in (request.etag, None):
        return
    for each in bucket.keys(context.keys.erasure(request.name, "")):
        bucket.delete(each)


def _key(context: StageContext, name: str) -> str:
    return context.keys.erasure(name, _REQUEST)
