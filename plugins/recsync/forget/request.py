"""The request of an erasure: the only object that holds the id in clear while the erasure goes on."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.forget.identity import Identity
from recsync.program.intervals import Interval
from recsync.recommend.list_inputs import read_audience
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import USER
from recsync.warehouse.program_sql import read_query


def external_ids_of(context: StageContext, user_id: str) -> set[str]:
    """Look a person's ids up in all audiences kept on S3, and in the one that the warehouse gives now.

    Where ``audience.sql`` returns no ``external_id``, Braze knows everybody by ``user_id``.
    """
    found = set()
    for key in context.bucket.keys(context.keys.all_recommendations):
        if key.endswith("/audience.parquet") and (body := context.bucket.get(key)):
            found |= _in_file(BytesIO(body), user_id)
    moment = datetime.now(UTC)
    hook = context.warehouse()
    name, query = read_query(context.program, "audience", Interval.until(moment), hook)
    if "external_id" not in {column.name.casefold() for column in hook.columns(query, name=name)}:
        return found | {user_id}
    with TemporaryDirectory(prefix="recsync-erasure-") as folder:
        target = Path(folder) / "audience.parquet"
        # As it is in the warehouse: this person is suppressed already.
        read_audience(context, moment, target, with_suppressed=True)
        return found | _in_file(target, user_id)


def _in_file(source: BytesIO | Path, user_id: str) -> set[str]:
    try:
        table = pq.read_table(source, columns=["user_id", "external_id"])
    except ValueError as error:
        raise FatalError(f"A kept audience is not what recsync wrote ({error}).") from None
    return {one for one in table.filter(pc.field("user_id") == user_id)["external_id"].to_pylist() if one}


log = logging.getLogger(__name__)

_NAME_CHARACTERS = 16
_REQUEST, _DONE, _INPUT = "request.json", "done.json", "input/users.csv"


@dataclass(frozen=True)
class Erasure:
    """One erasure under way.

    :param name: the beginning of the user's hash: it names the erasure wherever Airflow or Personalize keep names.
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
        return self.context.keys.erasure(self.name, _INPUT)

    def done(self) -> dict[str, Any]:
        """Read what was done so far, by step."""
        document: dict[str, Any] | None = self.context.bucket.get_json(
            self.context.keys.erasure(self.name, _DONE)
        )
        return document or {}

    def note(self, step: str, what: Any) -> None:
        """Keep what a step did; tasks of one run follow each other, so nobody else writes it."""
        self.context.bucket.put_json(self.context.keys.erasure(self.name, _DONE), {**self.done(), step: what})

    def finish(self) -> None:
        """Delete everything that the erasure worked with."""
        keys = self.context.keys
        for key in (self.input_key, keys.erasure(self.name, _REQUEST), keys.erasure(self.name, _DONE)):
            self.context.bucket.delete(key)


def ask(program_name: str, user_id: str, *, external_id: str = "", in_run_conf: bool = False) -> str:
    """Put down who is to be forgotten, and suppress that id at once.

    :param external_id: the id in Braze, for somebody whom no audience holds any more.
    :returns: the name of the erasure, which names nobody.
    """
    if not user_id.strip():
        raise FatalError("Whom to forget? Give the user_id of the warehouse.")
    context = StageContext.of(program_name)
    people = [external_id] if external_id else []
    suppression = context.store(SuppressionStore).add([user_id], people)
    name = suppression.digest(USER, user_id)[:_NAME_CHARACTERS]
    _write(Erasure(context, name, Identity(user_id).knowing(people), _now(), in_run_conf))
    return name


def suppress(program_name: str, name: str) -> Erasure:
    """Learn every id of the person and suppress them all; from here on nothing new is written about them."""
    erasure = opened(program_name, name)
    found = external_ids_of(erasure.context, erasure.identity.user_id)
    identity = erasure.identity.knowing(found)
    erasure.context.store(SuppressionStore).add([identity.user_id], identity.external_ids)
    known = Erasure(erasure.context, name, identity, erasure.requested_at, erasure.in_run_conf)
    _write(known)
    log.info("Erasure %s: the person is suppressed, with %d ids in Braze.", name, len(identity.external_ids))
    return known


def opened(program_name: str, name: str) -> Erasure:
    """Read an erasure that goes on.

    :raises FatalError: when it has ended, or never began.
    """
    context = StageContext.of(program_name)
    document = context.bucket.get_json(context.keys.erasure(name, _REQUEST))
    if document is None:
        raise FatalError(
            f"There is no request {name} of {program_name}: it has ended (see {context.keys.erasures}certificates/), "
            "or was never made. Ask again with make forget."
        )
    identity = Identity.from_json(document["identity"])
    return Erasure(context, name, identity, document["requested_at"], document["in_run_conf"])


def _write(erasure: Erasure) -> None:
    document = {
        "identity": erasure.identity.to_json(),
        "requested_at": erasure.requested_at,
        "in_run_conf": erasure.in_run_conf,
    }
    key = erasure.context.keys.erasure(erasure.name, _REQUEST)
    erasure.context.bucket.put(key, json.dumps(document).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
