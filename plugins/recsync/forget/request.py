"""The request of an erasure: the only object that holds the person's ids as plain text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.forget.erasure_rules import Identity
from recsync.program.intervals import Interval
from recsync.recommend.list_inputs import read_audience
from recsync.recommend.lists.audience import normalized_one
from recsync.suppression.store import USER, Suppression, SuppressionStore
from recsync.warehouse.program_sql import read_query

log = logging.getLogger(__name__)

_NAME_CHARACTERS = 16
_REQUEST, _STEPS, _INPUT = "request.json", "done.json", "input/users.csv"


@dataclass(frozen=True)
class Erasure:
    """One erasure in progress, of all programs over the data.

    :param context: of the owner of the data.
    :param name: the beginning of the user's hash; Airflow and Amazon Personalize see this name instead of an id.
    :param requested_at: ISO 8601.
    :param in_run_conf: the id was given as a DAG parameter, so that Airflow's metadata database holds it.
    """

    context: StageContext
    name: str
    identity: Identity
    requested_at: str
    in_run_conf: bool = False

    @property
    def input_key(self) -> str:
        """The object that the data deletion job reads."""
        return self._key(_INPUT)

    def steps(self) -> dict[str, Any]:
        """Read the results of completed steps."""
        return self.context.bucket.get_json(self._key(_STEPS)) or {}

    def record_step(self, step: str, result: Any) -> None:
        """Record the result of a step; the tasks of a run are sequential, so there is no other writer."""
        self.context.bucket.put_json(self._key(_STEPS), {**self.steps(), step: result})

    def clean_up(self) -> None:
        """Delete the objects of the erasure; its certificate stays."""
        for part in (_INPUT, _REQUEST, _STEPS):
            self.context.bucket.delete(self._key(part))

    def write(self) -> None:
        """Write the request."""
        document = {
            "identity": self.identity.to_json(),
            "requested_at": self.requested_at,
            "in_run_conf": self.in_run_conf,
        }
        self.context.bucket.put(self._key(_REQUEST), json.dumps(document).encode())

    def _key(self, part: str) -> str:
        return self.context.keys.erasure(self.name, part)


def request_erasure(
    program_name: str, user_id: str, *, external_id: str = "", in_run_conf: bool = False
) -> str:
    """Write the request to erase a user, and suppress the id at once.

    :param external_id: the identifier in Braze, for a user whom no audience contains any more.
    :returns: the name of the erasure, which is no id.
    """
    if not user_id.strip():
        raise FatalError("The user_id of the person to forget is empty. Give the user_id of the warehouse.")
    context = StageContext.of(program_name)
    if (owner := context.program.data) is not None:
        raise FatalError(
            f"{program_name} uses the data of {owner}. Erase the person there, make forget PROGRAM={owner}: one run "
            "erases from all programs over the data."
        )
    identifier = context.program.braze.known_by
    external_ids = [normalized_one(external_id, identifier)] if external_id else []
    suppression = _suppress(context, user_id, external_ids)
    name = suppression.digest(USER, user_id)[:_NAME_CHARACTERS]
    identity = Identity(user_id).with_external_ids(external_ids)
    Erasure(context, name, identity, datetime.now(UTC).isoformat(timespec="seconds"), in_run_conf).write()
    return name


def suppress(program_name: str, name: str) -> Erasure:
    """Look up all ids of the person and suppress them, so that nothing new is written about them."""
    erasure = read_erasure(program_name, name)
    user_id = erasure.identity.user_id
    found = {one for context in erasure.context.over_data for one in external_ids_of(context, user_id)}
    erasure = replace(erasure, identity=erasure.identity.with_external_ids(found))
    external_ids = erasure.identity.external_ids
    _suppress(erasure.context, user_id, external_ids)
    erasure.write()
    log.info("Erasure %s: the person is suppressed, with %d ids in Braze.", name, len(external_ids))
    return erasure


def _suppress(context: StageContext, user_id: str, external_ids: Iterable[str]) -> Suppression:
    """Suppress a person in every program over the data, so that each still knows when its data becomes its own.

    :returns: the owner's list.
    """
    ids = list(external_ids)
    owner, *_ = [each.store(SuppressionStore).add([user_id], ids) for each in context.over_data]
    return owner


def read_erasure(program_name: str, name: str) -> Erasure:
    """Read an erasure in progress.

    :raises FatalError: when it has ended, or never began.
    """
    context = StageContext.of(program_name)
    document = context.bucket.get_json(context.keys.erasure(name, _REQUEST))
    if document is None:
        raise FatalError(
            f"There is no request {name} of {program_name}: it has ended (see {context.keys.erasures}certificates/), "
            "or was never made. Make a new one with make forget."
        )
    identity = Identity.from_json(document["identity"])
    return Erasure(context, name, identity, document["requested_at"], document["in_run_conf"])


def external_ids_of(context: StageContext, user_id: str) -> set[str]:
    """Look up a user's ids in Braze, in all audiences on S3 and in the warehouse's audience of now.

    Where ``audience.sql`` returns no ``external_id``, it is the ``user_id``.
    """
    found = set()
    for key in context.bucket.keys(context.keys.all_recommendations):
        if key.endswith("/audience.parquet") and (body := context.bucket.get(key)):
            found |= _external_ids_in(BytesIO(body), user_id)
    moment = datetime.now(UTC)
    hook = context.warehouse()
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    returned = {column.name.casefold() for column in hook.columns(query, name=name)}
    if context.program.braze.identifier == "external_id" and "external_id" not in returned:
        return found | {user_id}
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        target = Path(folder) / "audience.parquet"
        # The person is suppressed already.
        read_audience(context, moment, target, with_suppressed=True)
        return found | _external_ids_in(target, user_id)


def _external_ids_in(source: BytesIO | Path, user_id: str) -> set[str]:
    try:
        table = pq.read_table(source, columns=["user_id", "external_id"])
    except ValueError as error:
        raise FatalError(f"An audience on S3 is not what recsync wrote ({error}).") from None
    return {one for one in table.filter(pc.field("user_id") == user_id)["external_id"].to_pylist() if one}
