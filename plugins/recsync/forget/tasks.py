"""Erase one person in Braze and Amazon Personalize, and certify the erasure."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import DATASET_GROUP
from braze_client.client import MAX_DELETE_IDS
from braze_client.identifiers import BRAZE_ID, Identifier
from braze_client.payloads import dumps
from recsync import settings
from recsync.context import StageContext
from recsync.errors import DELIBERATE, RetriableError
from recsync.forget.erase_objects import erase_objects
from recsync.forget.request import Erasure, read_erasure
from recsync.program import names
from recsync.push.braze_hook import BrazeHook
from recsync.push.store import LastSent
from recsync.recommend.lists.audience import is_usable
from recsync.suppression.store import USER, SuppressionStore

_BRAZE_STEP, _PERSONALIZE_STEP = "braze", "personalize"
# Braze applies a deletion within five minutes at the most: https://www.braze.com/docs/api/endpoints/user_data/post_user_delete
_LOOKS, _SECONDS_BETWEEN_LOOKS = 8, 2.0


def forget_in_braze(program_name: str, name: str) -> dict[str, Any]:
    """Delete the profile, or only recsync's attributes, as ``erasure.braze`` says.

    :raises RetriableError: while Braze still shows them; a retry deletes and checks again.
    """
    erasure = read_erasure(program_name, name)
    mode = erasure.context.program.erasure.braze
    external_ids = list(erasure.identity.external_ids)
    result: dict[str, Any] = {"mode": mode, "profiles": len(external_ids), "gone": None}
    if external_ids and mode != "nothing":
        # Programs over the same data may write to several workspaces, and name people by other identifiers.
        for each in erasure.context.over_data:
            asyncio.run(_forget(each, erasure, profile=mode == "profile"))
        result["gone"] = True
    erasure.record_step(_BRAZE_STEP, result)
    return result


async def _forget(context: StageContext, erasure: Erasure, *, profile: bool) -> None:
    braze = context.program.braze
    attributes = braze.attribute_names
    parts = list(_parts(context, erasure))
    empty = {"_update_existing_only": True, **dict.fromkeys(attributes)}
    async with BrazeHook(braze.connection).client() as client:
        for by, people in parts:
            if profile and by.can_delete:
                await client.delete_users(people, by)
                continue
            # Braze may refuse a request in which every user is unknown: name known profiles only. Several profiles
            # may have one address, and a write reaches one of them: each is named by its braze_id.
            named = by if by.can_delete else BRAZE_ID
            known = await client.export_users(people, [named.profile_field], by)
            found = [one for shown in known for one in named.people_of(shown)]
            for first in range(0, len(found), MAX_DELETE_IDS):
                chunk = found[first : first + MAX_DELETE_IDS]
                if profile:
                    await client.delete_users(chunk, named)
                else:
                    await client.track_attributes([dumps({**named.object_of(one), **empty}) for one in chunk])
        for _ in range(_LOOKS):
            shown = []
            for by, people in parts:
                shown += await client.export_users(people, [by.profile_field, "custom_attributes"], by)
            if not any(profile or set(attributes) & set(one.get("custom_attributes") or {}) for one in shown):
                return
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RetriableError("Braze accepted the deletion and still shows the profile; a retry checks again.")


def _parts(context: StageContext, erasure: Erasure) -> Iterator[tuple[Identifier, list[str]]]:
    """Yield the ids of the person for one call each, by every identifier that the program ever used."""
    state, _ = context.store(LastSent).read()
    used = (context.program.braze.known_by.tag, state.identifier, *state.former_identifiers)
    # Before the first delivery the state names the default.
    tags = dict.fromkeys(used if state.table or state.former_identifiers else used[:1])
    for by in map(Identifier.parse, tags):
        ids = pa.array(erasure.identity.external_ids, pa.string())
        people = ids.filter(is_usable(ids, by)).to_pylist()
        yield from ((by, people[n : n + by.per_export]) for n in range(0, len(people), by.per_export))


def deletion_job(program_name: str, name: str, run_id: str) -> dict[str, Any] | None:
    """Write the job's input and return its arguments; None while the program has no dataset group."""
    erasure = read_erasure(program_name, name)
    context = erasure.context
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    group = names.dataset_group_name(context.program)
    arns = [found["datasetGroupArn"] for found in hook.listed(DATASET_GROUP) if found["name"] == group]
    if not arns:
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["USER_ID"], [erasure.identity.user_id]])
    context.bucket.put(erasure.input_key, text.getvalue().encode())
    return {
        "job": names.job_name(program_name, "forget", f"{run_id}{name}"),
        "dataset_group_arn": arns[0],
        "location": context.bucket.uri(erasure.input_key),
        "role_arn": settings.role_arn_of(context.program),
    }


def record_deletion_job(program_name: str, name: str, job_arn: str) -> None:
    """Record the job's result for the certificate."""
    erasure = read_erasure(program_name, name)
    client: Any = PersonalizeHook(aws_conn_id=erasure.context.program.aws).get_conn()
    job = client.describe_data_deletion_job(dataDeletionJobArn=job_arn)["dataDeletionJob"]
    erasure.record_step(_PERSONALIZE_STEP, {"job": job["jobName"], "deleted": job.get("numDeleted")})


log = logging.getLogger(__name__)

_BRAZE = {
    "profile": "Braze: the profile was deleted ({profiles} id(s)), and a read confirmed it.",
    "attributes": "Braze: what recsync wrote was removed from {profiles} profile(s), and a read confirmed it.",
    "nothing": "Braze: not changed, as erasure.braze says; delete the profile there.",
}
_OTHERS = (
    "Warehouse: recsync reads it and changes nothing there; delete the person in its tables, views and backups.",
    "Braze: e-mails that were sent, Currents exports and segments downloaded by people are outside of recsync.",
)


@dataclass(frozen=True)
class Certificate:
    """What one erasure removed; it holds no id.

    :param program: the owner of the data.
    :param person: the keyed hash of the ``user_id``, as in the suppression list.
    :param s3: objects and rows by area, manifests updated, objects looked at.
    :param personalize: the data deletion job and how many records it deleted; None without a dataset group.
    :param remains: what may still hold data of the person, and until when.
    :param others: what recsync cannot do.
    :param sharers: the other programs over the data, which the erasure covers too.
    """

    program: str
    erasure: str
    person: str
    requested_at: str
    completed_at: str
    s3: dict[str, Any]
    personalize: dict[str, Any] | None
    braze: dict[str, Any]
    remains: tuple[str, ...]
    others: tuple[str, ...]
    sharers: tuple[str, ...] = ()

    def text(self) -> str:
        """Format it as text."""
        lines = [
            f"Certificate of erasure {self.erasure}, program {', '.join([self.program, *self.sharers])}",
            "",
            f"Person (keyed hash of the id): {self.person}",
            f"Requested {self.requested_at}, completed {self.completed_at}",
            "",
            "Removed",
            f"  S3: {self.s3['looked_at']:,} objects were looked at.",
        ]
        areas = [
            f"    {area}: {rows:,} row(s) or value(s) in {self.s3['objects'][area]:,} object(s)"
            for area, rows in sorted(self.s3["rows"].items())
        ]
        lines += areas or ["    nothing named the person"]
        lines += [f"  {self._personalize()}", f"  {self._braze()}", ""]
        for title, entries in (("Remains", self.remains), ("For others to do", self.others)):
            lines += [title, *(f"  - {entry}" for entry in entries or ("nothing",)), ""]
        return "\n".join(lines)

    def _personalize(self) -> str:
        if self.personalize is None:
            return "Amazon Personalize: the program has no dataset group there."
        deleted = self.personalize["deleted"]
        count = "" if deleted is None else f"; {deleted:,} record(s) deleted"
        return f"Amazon Personalize: data deletion job {self.personalize['job']}{count}"

    def _braze(self) -> str:
        if not self.braze["profiles"]:
            return "Braze: no id of the person is known there."
        return _BRAZE[self.braze["mode"]].format(**self.braze)


def certify(program_name: str, name: str, job_arn: str | None) -> str:
    """Erase once more what runs from before the suppression wrote; then write the certificate and clean up.

    :returns: the S3 URI of the certificate as text; the JSON document has the same name.
    """
    if former := _certified(StageContext.of(program_name), name):
        return former
    if job_arn:
        record_deletion_job(program_name, name, job_arn)
    erase_objects(program_name, name, last_look=True)
    erasure = read_erasure(program_name, name)
    steps = erasure.steps()
    context, now = erasure.context, datetime.now(UTC)
    certificate = Certificate(
        program=program_name,
        erasure=name,
        person=context.store(SuppressionStore).read().digest(USER, erasure.identity.user_id),
        requested_at=erasure.requested_at,
        completed_at=now.isoformat(timespec="seconds"),
        s3=steps["objects"],
        personalize=steps.get("personalize"),
        braze=steps["braze"],
        remains=_remains(erasure),
        others=_OTHERS,
        sharers=tuple(each.program.name for each in context.over_data[1:]),
    )
    stamp = f"{now:%Y%m%dT%H%M%S}"
    context.bucket.put_json(context.keys.certificate(name, stamp, ".json"), asdict(certificate))
    key = context.keys.certificate(name, stamp, ".txt")
    context.bucket.put(key, certificate.text().encode())
    erasure.clean_up()
    log.info("%s", certificate.text())
    return context.bucket.uri(key)


def _certified(context: StageContext, name: str) -> str | None:
    """Return the certificate of an earlier try that was killed during or after the clean-up."""
    if context.bucket.etag(context.keys.erasure(name, "request.json")) is not None:
        return None
    certificates = context.bucket.keys(context.keys.certificate("", "", "").removesuffix("-"))
    found = [key for key in certificates if key.endswith(f"-{name}.txt")]
    return context.bucket.uri(found[-1]) if found else None


def _remains(erasure: Erasure) -> tuple[str, ...]:
    context = erasure.context
    found = [
        f"Amazon Personalize: models trained before hold the person until the next FULL training "
        f"({context.program.name}_train_full) and until old solutions are deleted ({context.program.name}_maintain). "
        "Inference leaves suppressed users out; a segment may still return the person until then.",
        f"The suppression list {context.bucket.uri(context.keys.state('suppression.json'))} keeps keyed hashes of the "
        "person's ids, so that exports and audiences leave the person out while the warehouse still has them.",
    ]
    if erasure.in_run_conf:
        found.append(
            "Airflow: the id was given as a parameter of this DAG run and is in its configuration; delete the run "
            "in the Airflow UI. make forget passes no id to Airflow."
        )
    if _versioned(erasure):
        found.append(
            f"S3: the bucket {context.bucket.name} keeps former versions of objects; let its life-cycle rule expire "
            "noncurrent versions, or delete them."
        )
    return tuple(found)


def _versioned(erasure: Erasure) -> bool:
    try:
        return erasure.context.bucket.keeps_versions()
    except DELIBERATE:
        log.warning(
            "It is unknown whether the bucket keeps former versions: the role may not read its versioning."
        )
        return True
