"""The requests that one run of ``forget`` takes: those that are open when it begins."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.forget.object_index import ObjectIndex
from recsync.forget.people import People
from recsync.forget.request import (
    Request,
    delete_request,
    is_open,
    read_request,
    read_requests,
    suppress,
)
from recsync.program.intervals import Interval
from recsync.recommend.list_inputs import read_audience
from recsync.storage.csv_dialect import to_personalize
from recsync.warehouse.program_sql import read_query

log = logging.getLogger(__name__)

_DOCUMENT, _PEOPLE, _STEPS, _INPUT, _STAGED = (
    "batch.json", "people.json", "done.json", "input/users.csv", "staged/",
)  # fmt: skip
_PREFIX = "batch-"
_NAME_CHARACTERS = 16
_OTHER_FOLDERS = frozenset({"certificates", "batches"})
_THREADS = 8
MOST_INPUT_BYTES = 100_000_000
"""Ids that a data deletion job reads: https://docs.aws.amazon.com/personalize/latest/dg/delete-records.html"""


@dataclass(frozen=True)
class ErasureBatch:
    """The people that one run erases from all programs over the data.

    :param context: of the owner of the data.
    :param name: of the batch, derived from the run; or of the only request, in a run that began before batches.
    :param requests: with all ids of each person that are known.
    :param mark: version of the requests and their ids; empty before they are looked up.
    """

    context: StageContext
    name: str
    requests: tuple[Request, ...]
    mark: str = ""

    @cached_property
    def people(self) -> People:
        """The people, by request name."""
        return People({request.name: request.identity for request in self.requests})

    @property
    def input_key(self) -> str:
        """The object that the data deletion job reads."""
        return self._key(_INPUT)

    @property
    def input_body(self) -> bytes:
        """The content of that object."""
        return input_of(self.requests)

    def staged_key(self, part: str) -> str:
        """Return the key of an object that is to replace another one under the lock."""
        return self._key(f"{_STAGED}{part}")

    def steps(self) -> dict[str, Any]:
        """Read the results of completed steps."""
        return steps_of(self.context, self.name)

    def record_step(self, step: str, result: Any) -> None:
        """Record the result of a step; the tasks of a run are sequential, so there is no other writer."""
        self.context.bucket.put_json(self._key(_STEPS), {**self.steps(), step: result})

    def with_people(self, requests: Iterable[Request]) -> ErasureBatch:
        """Keep all ids of the people until the end."""
        kept = tuple(requests)
        document = {request.name: {**request.to_json(), "etag": request.etag} for request in kept}
        mark = self.context.bucket.put(self._key(_PEOPLE), json.dumps(document, indent=1).encode())
        return replace(self, requests=kept, mark=mark)

    def clean_up(self) -> None:
        """Delete the requests and the objects of the batch; certificates stay. Again after a kill."""
        bucket = self.context.bucket
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda one: delete_request(bucket, self.context, one), self.requests))
        for folder in _abandoned(self.context, self.name):
            delete_folder(self.context, folder)
        delete_folder(self.context, self.name)

    def _key(self, part: str) -> str:
        return self.context.keys.erasure(self.name, part)


def steps_of(context: StageContext, name: str) -> dict[str, Any]:
    """Read the results of completed steps; empty before the first one, and when the batch is cleaned up."""
    return context.bucket.get_json(context.keys.erasure(name, _STEPS)) or {}


def input_of(requests: Iterable[Request]) -> bytes:
    """Return the CSV of a data deletion job, in the dialect of Amazon Personalize."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [["USER_ID"], *([request.identity.user_id] for request in requests)]
    )
    return to_personalize(text.getvalue().encode())


def batch_name(run_id: str) -> str:
    """Return the name of a run's batch."""
    return f"{_PREFIX}{hashlib.blake2b(run_id.encode()).hexdigest()[:_NAME_CHARACTERS]}"


def take_open_requests(program_name: str, run_id: str, *, wanted: str = "") -> str:
    """Take the open requests for a run; a retry takes the same ones.

    :param wanted: a request that must be open; empty: none must be.
    :returns: the name of the batch; empty when no request is open. Where the ids are more than a data deletion job
        reads, the newest wait for the next run.
    """
    context = StageContext.of(program_name)
    name = batch_name(run_id)
    document = context.keys.erasure(name, _DOCUMENT)
    if context.bucket.etag(document) is None:
        if wanted and not is_open(context, wanted):
            raise _ended(context, wanted)
        taken, size = [], len("USER_ID\n")
        for request in read_requests(context, _request_folders(context)):
            size += len(input_of([request])) - len("USER_ID\n")
            if size > MOST_INPUT_BYTES:
                break
            taken.append(request.name)
        if not taken:
            return ""
        context.bucket.put_json(
            document, {"requests": taken, "begun_at": datetime.now(UTC).isoformat(timespec="seconds")}
        )
        log.info("Batch %s: %d open request(s) are taken.", name, len(taken))
    return name


def _request_folders(context: StageContext) -> list[str]:
    found = context.bucket.folders(context.keys.erasures)
    return [name for name in found if name not in _OTHER_FOLDERS and not name.startswith(_PREFIX)]


def suppress_batch(program_name: str, name: str) -> ErasureBatch:
    """Look up all ids of the people and suppress them, so that nothing new is written about them."""
    batch = read_batch(program_name, name)
    found: dict[str, set[str]] = {}
    for context in batch.context.over_data:
        for user_id, external_ids in external_ids_of(context, batch.people).items():
            found.setdefault(user_id, set()).update(external_ids)
    batch = batch.with_people(
        replace(one, identity=one.identity.with_external_ids(found.get(one.identity.user_id, ())))
        for one in batch.requests
    )
    suppress(batch.context, batch.people.identities.values())
    log.info(
        "Batch %s: %d people are suppressed, with %d ids in Braze.",
        name, len(batch.requests), len(batch.people.persons),
    )  # fmt: skip
    return batch


def read_batch(program_name: str, name: str) -> ErasureBatch:
    """Read a batch in progress, or a single request as a batch.

    :raises FatalError: when it has ended, or never began.
    """
    context = StageContext.of(program_name)
    body, mark = context.bucket.get_with_etag(context.keys.erasure(name, _PEOPLE))
    if body is not None:
        people = json.loads(body).items()
        requests = [Request.from_json(each, one, one["etag"]) for each, one in people]
        return ErasureBatch(context, name, tuple(requests), mark or "")
    document = context.bucket.get_json(context.keys.erasure(name, _DOCUMENT))
    if document is not None:
        return ErasureBatch(context, name, tuple(read_requests(context, document["requests"])))
    request = read_request(context, name)
    if request is None:
        raise _ended(context, name)
    return ErasureBatch(context, name, (request,), request.etag)


def _ended(context: StageContext, name: str) -> FatalError:
    return FatalError(
        f"There is no request {name} of {context.program.name}: it has ended (see {context.keys.erasures}"
        "certificates/), or was never made. Make a new one with make forget."
    )


def _abandoned(context: StageContext, mine: str) -> list[str]:
    """Return earlier batches without an open request: their runs failed, and a later run completed the requests."""
    folders = [name for name in context.bucket.folders(context.keys.erasures) if name.startswith(_PREFIX)]
    found = []
    for name in folders:
        document = context.bucket.get_json(context.keys.erasure(name, _DOCUMENT)) or {"requests": []}
        if name != mine and not any(is_open(context, request) for request in document["requests"]):
            found.append(name)
    return found


def delete_folder(context: StageContext, name: str) -> None:
    """Delete the objects of a batch; last those that a retry after a kill reads."""
    last = [context.keys.erasure(name, part) for part in (_PEOPLE, _STEPS, _DOCUMENT)]
    keys = context.bucket.keys(context.keys.erasure(name, ""))
    context.bucket.delete_all([key for key in keys if key not in last])
    for key in last:
        context.bucket.delete(key)


def external_ids_of(context: StageContext, people: People) -> dict[str, set[str]]:
    """Look up users' ids in Braze: in audiences on S3 that may hold one, and in the warehouse's current audience.

    Where ``audience.sql`` returns no ``external_id``, it is the ``user_id``.

    :returns: by ``user_id``.
    """
    found: dict[str, set[str]] = {}
    index = ObjectIndex(context.bucket, context.keys.erasure_index, people.probes)
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        target = Path(folder) / "audience.parquet"
        for entry in list(context.bucket.listed(context.keys.all_recommendations)):
            key, etag = entry["Key"], entry["ETag"]
            # Skip an audience that maintain deleted meanwhile.
            if (
                key.endswith("/audience.parquet")
                and index.may_hold(key, etag)
                and context.bucket.download_version(key, target, etag=etag)
            ):
                _add_external_ids(target, people, found)
        moment = datetime.now(UTC)
        hook = context.warehouse()
        name, query = read_query(context.program, "audience", Interval.until(moment), hook)
        returned = {column.name.casefold() for column in hook.columns(query, name=name)}
        if context.program.braze.identifier == "external_id" and "external_id" not in returned:
            for user_id in people.users:
                found.setdefault(user_id, set()).add(user_id)
            return found
        # The people are suppressed already.
        read_audience(context, moment, target, with_suppressed=True)
        _add_external_ids(target, people, found)
    return found


def _add_external_ids(source: Path, people: People, found: dict[str, set[str]]) -> None:
    wanted = pa.array(list(people.users), pa.string())
    try:
        with pq.ParquetFile(source) as file:
            for rows in file.iter_batches(columns=["user_id", "external_id"]):
                mine = rows.filter(pc.is_in(rows["user_id"].cast(pa.string()), value_set=wanted))
                for row in mine.to_pylist():
                    if row["external_id"]:
                        found.setdefault(str(row["user_id"]), set()).add(row["external_id"])
    except (ValueError, KeyError) as error:
        raise FatalError(
            f"An audience on S3 is not what recsync wrote ({type(error).__name__}: {error})."
        ) from None
