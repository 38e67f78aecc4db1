"""Recommend: the audience goes into a batch inference job, lists fit to mail come out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from recsync import settings
from recsync.core import names
from recsync.core.batch_output import UnreadableLine, UserList, read_lines
from recsync.core.delivery import Wanted
from recsync.core.intervals import Interval
from recsync.core.payloads import CATALOG_ID, Json, dumps, fingerprint, to_json
from recsync.core.rules import mailable
from recsync.errors import FatalError
from recsync.hooks.warehouse import WarehouseHook
from recsync.stages.context import StageContext
from recsync.stages.export import read_query
from recsync.stores.recommendations import RecommendationsManifest

log = logging.getLogger(__name__)

_AUDIENCE = pa.schema([("user_id", pa.string()), ("external_id", pa.string())])


def prepare(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Read the audience, write the job's input, and fix what the run does, so that each retry does the same.

    ``audience.sql`` returns ``user_id`` and, where Braze knows people by another id, ``external_id``.
    """
    context = StageContext.of(program_name)
    champion = context.champions.read()
    if champion is None:
        raise FatalError(f"Program {program_name} has no champion; run {program_name}_train_full first.")
    run = names.run_key(run_id, created_at.isoformat())
    people = _read_audience(context, created_at)
    table = pa.Table.from_pydict(
        {"user_id": list(people), "external_id": list(people.values())}, schema=_AUDIENCE
    )
    context.bucket.put_table(context.keys.audience(run), table)
    body = b"".join(dumps({"userId": user_id}) + b"\n" for user_id in people)
    context.bucket.put(context.keys.batch_input(run), body)
    log.info("The audience of %s holds %d people", program_name, len(people))
    exploration = context.program.personalize.exploration
    champion_arn = champion.solution_version_arn
    return {
        "run": run,
        "created_at": created_at.isoformat(),
        # With what goes in: a cleared run with another audience or champion must not adopt the former job's output.
        "job": names.job_name(
            program_name, "recommend", run_id + fingerprint([table.to_pylist(), champion_arn])
        ),
        "solution_version_arn": champion_arn,
        "input": context.bucket.uri(context.keys.batch_input(run)),
        "output": context.bucket.uri(context.keys.batch_output(run)),
        "role_arn": settings.role_arn_of(context.program),
        "config": _exploration_config(exploration.weight, exploration.item_age_cut_off_days)
        if context.program.personalize.recipe == "aws-user-personalization"
        else None,
        "users": len(people),
    }


def _exploration_config(weight: float, cut_off_days: float) -> dict[str, Any]:
    explore = {"explorationWeight": f"{weight:g}", "explorationItemAgeCutOff": f"{cut_off_days:g}"}
    return {"itemExplorationConfig": explore}


def _read_audience(context: StageContext, moment: datetime) -> dict[str, str]:
    name, query = read_query(context.program, "audience", Interval.until(moment))
    hook = WarehouseHook(context.program.warehouse)
    returned = {column.casefold() for column in hook.columns(query, name=name)}
    columns = ["user_id", "external_id" if "external_id" in returned else "user_id"]
    people: dict[str, str] = {}
    # A column asked for twice is returned once, so the last one is the Braze id either way.
    for row in hook.rows(query, list(dict.fromkeys(columns)), name=name):
        user_id, external_id = row[0], row[-1]
        if user_id in (None, "") or external_id in (None, ""):
            raise FatalError(f"{name} returns a person without user_id or external_id; leave such rows out.")
        people[str(user_id)] = str(external_id)
    if not people:
        raise FatalError(
            f"{name} returns nobody; an empty audience would remove every list. Check the query."
        )
    return dict(sorted(people.items()))


def decorate(program_name: str, plan: dict[str, Any], batch_inference_job_arn: str) -> dict[str, Any]:
    """Turn the job's output into lists fit to mail, and publish them with the items' fields.

    Every person of the audience gets an entry: a list of exactly ``recommendations.length`` items, or a reason.

    :returns: the manifest, for the asset event.
    """
    context = StageContext.of(program_name)
    catalogue = read_catalogue(context, datetime.fromisoformat(plan["created_at"]))
    lists = _read_output(context, plan["run"])
    wanted = [
        _wanted(context, external_id, lists.get(user_id), catalogue)
        for user_id, external_id in _people(context, plan["run"])
    ]
    used = {item_id: catalogue[item_id] for person in wanted for item_id in person.item_ids}
    suppressed = Counter(person.reason for person in wanted if not person.item_ids)
    manifest = RecommendationsManifest(
        run=plan["run"],
        created_at=plan["created_at"],
        solution_version_arn=plan["solution_version_arn"],
        batch_inference_job_arn=batch_inference_job_arn,
        users=len(wanted),
        lists=len(wanted) - suppressed.total(),
        suppressed=dict(suppressed),
        items=len(used),
    )
    context.recommendations.publish(manifest, wanted, used)
    for reason, people in suppressed.most_common():
        log.warning("%d people get no list: %s", people, reason)
    return asdict(manifest)


def read_catalogue(context: StageContext, moment: datetime) -> dict[str, Json]:
    """Read the items that may be mailed: item id -> the fields that reach Braze.

    Ids that a Braze catalogue cannot hold are left out, and counted in the log.
    """
    program = context.program
    name, query = read_query(program, "catalogue", Interval.until(moment))
    columns = ["item_id", *program.braze.sent_fields]
    rows = WarehouseHook(program.warehouse).rows(query, columns, name=name)
    catalogue = {
        str(row[0]): {column: to_json(value) for column, value in zip(columns[1:], row[1:], strict=True)}
        for row in rows
    }
    if program.braze.catalog:
        unusable = [item_id for item_id in catalogue if not CATALOG_ID.match(item_id)]
        if unusable:
            log.warning(
                "%d items of %s are never mailed: a Braze catalogue takes letters, digits, _ and - only (%r)",
                len(unusable), name, unusable[0],
            )  # fmt: skip
        for item_id in unusable:
            del catalogue[item_id]
    if not catalogue:
        raise FatalError(f"{name} returns no item that can be mailed; check the query.")
    return catalogue


def _people(context: StageContext, run: str) -> Iterator[tuple[str, str]]:
    table = context.bucket.get_table(context.keys.audience(run))
    if table is None:
        raise FatalError(f"The audience of run {run} is gone from S3; start a new run.")
    yield from zip(table["user_id"].to_pylist(), table["external_id"].to_pylist(), strict=True)


def _read_output(context: StageContext, run: str) -> dict[str, UserList]:
    keys = [k for k in context.bucket.keys(context.keys.batch_output(run)) if k.endswith(".out")]
    if not keys:
        raise FatalError(
            f"{context.bucket.uri(context.keys.batch_output(run))} holds no .out object of the job."
        )
    lists: dict[str, UserList] = {}
    for key in keys:
        for line in read_lines(context.bucket.lines(key)):
            if isinstance(line, UnreadableLine):
                log.error("%s line %d: %s", context.bucket.uri(key), line.line, line.reason)
            else:
                lists.setdefault(line.user_id, line)
    return lists


def _wanted(
    context: StageContext, external_id: str, found: UserList | None, catalogue: dict[str, Json]
) -> Wanted:
    if found is None:
        return Wanted(external_id, (), "the batch output has no line for this person")
    if found.error:
        return Wanted(external_id, (), f"Amazon Personalize: {found.error}")
    length = context.program.recommendations.length
    items = mailable(found.item_ids, catalogue, length)
    if len(items) < length:
        return Wanted(external_id, (), f"fewer than {length} items that may be mailed")
    return Wanted(external_id, items)
