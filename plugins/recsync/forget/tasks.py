"""Erase people in Braze and Amazon Personalize, and certify their erasure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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
from recsync.forget.batch import ErasureBatch, delete_folder, read_batch, steps_of
from recsync.forget.certificate import OF_TABLES, OTHERS, Certificate, batch_certificate, batch_text
from recsync.forget.erase_objects import Counts
from recsync.forget.request import Request
from recsync.program import names
from recsync.push.braze_hook import BrazeHook
from recsync.push.store import LastSent
from recsync.recommend.lists.audience import is_usable
from recsync.suppression.store import USER, SuppressionStore

log = logging.getLogger(__name__)

_THREADS = 8
_BRAZE_STEP, _PERSONALIZE_STEP, _CERTIFIED = "braze", "personalize", "certified"
# Braze applies a deletion within five minutes at the most: https://www.braze.com/docs/api/endpoints/user_data/post_user_delete
_LOOKS, _SECONDS_BETWEEN_LOOKS = 8, 2.0


def forget_in_braze(program_name: str, name: str) -> dict[str, Any]:
    """Delete the profiles, or only recsync's attributes, as ``erasure.braze`` says.

    :raises RetriableError: while Braze still shows them; a retry deletes and checks again.
    """
    batch = read_batch(program_name, name)
    mode = batch.context.program.erasure.braze
    people = list(batch.people.persons)
    result: dict[str, Any] = {"mode": mode, "profiles": len(people), "gone": None}
    if people and mode != "nothing":
        # Programs over the same data may write to several workspaces, and name people by other identifiers.
        for each in batch.context.over_data:
            asyncio.run(_forget(each, people, profile=mode == "profile"))
        result["gone"] = True
    batch.record_step(_BRAZE_STEP, result)
    return result


async def _forget(context: StageContext, people: Sequence[str], *, profile: bool) -> None:
    braze = context.program.braze
    attributes = braze.attribute_names
    parts = list(_parts(context, people))
    empty = {"_update_existing_only": True, **dict.fromkeys(attributes)}
    async with BrazeHook(braze.connection).client() as client:
        # By the identifier that names a profile; several profiles may have one address, and a write reaches one of
        # them: each is named by its braze_id.
        found: dict[Identifier, dict[str, None]] = {}
        for by, some in parts:
            named = by if by.can_delete else BRAZE_ID
            if profile and by.can_delete:
                known = list(some)
            else:
                # Braze may refuse a request in which every user is unknown: name known profiles only.
                shown = await client.export_users(some, [named.profile_field], by)
                known = [one for each in shown for one in named.people_of(each)]
            found.setdefault(named, {}).update(dict.fromkeys(known))
        for named, known_people in found.items():
            size = MAX_DELETE_IDS if profile else client.plan.objects_per_call
            for chunk in _chunks(list(known_people), size):
                if profile:
                    await client.delete_users(chunk, named)
                else:
                    await client.track_attributes([dumps({**named.object_of(one), **empty}) for one in chunk])
        for _ in range(_LOOKS):
            still = []
            for by, some in parts:
                shown = await client.export_users(some, [by.profile_field, "custom_attributes"], by)
                if any(profile or set(attributes) & set(one.get("custom_attributes") or {}) for one in shown):
                    still.append((by, some))
            if not still:
                return
            parts = still
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RetriableError("Braze accepted the deletion and still shows the profile; a retry checks again.")


def _parts(context: StageContext, external_ids: Sequence[str]) -> Iterator[tuple[Identifier, list[str]]]:
    """Yield the ids of people for one call each, by every identifier that the program ever used."""
    state, _ = context.store(LastSent).read()
    used = (context.program.braze.known_by.tag, state.identifier, *state.former_identifiers)
    # Before the first delivery the state names the default.
    tags = dict.fromkeys(used if state.table or state.former_identifiers else used[:1])
    for by in map(Identifier.parse, tags):
        ids = pa.array(external_ids, pa.string())
        people = ids.filter(is_usable(ids, by)).to_pylist()
        yield from ((by, chunk) for chunk in _chunks(people, by.per_export))


def _chunks(values: Sequence[str], size: int) -> Iterator[list[str]]:
    yield from (list(values[n : n + size]) for n in range(0, len(values), size))


def deletion_job(program_name: str, name: str, run_id: str) -> dict[str, Any] | None:
    """Write the job's input and return its arguments; None while the program has no dataset group."""
    batch = read_batch(program_name, name)
    context = batch.context
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    group = names.dataset_group_name(context.program)
    arns = [found["datasetGroupArn"] for found in hook.listed(DATASET_GROUP) if found["name"] == group]
    if not arns:
        return None
    context.bucket.put(batch.input_key, batch.input_body)
    return {
        "job": names.job_name(program_name, "forget", f"{run_id}{name}"),
        "dataset_group_arn": arns[0],
        "location": context.bucket.uri(batch.input_key),
        "role_arn": settings.role_arn_of(context.program),
    }


def record_deletion_job(program_name: str, name: str, job_arn: str) -> None:
    """Record the job's result for the certificate."""
    batch = read_batch(program_name, name)
    client: Any = PersonalizeHook(aws_conn_id=batch.context.program.aws).get_conn()
    job = client.describe_data_deletion_job(dataDeletionJobArn=job_arn)["dataDeletionJob"]
    batch.record_step(_PERSONALIZE_STEP, {"job": job["jobName"], "deleted": job.get("numDeleted")})


def certify(program_name: str, name: str, job_arn: str | None) -> str:
    """Write a certificate for each person and one for the batch; then delete the requests. Again after a kill.

    :returns: the S3 URI of the batch's certificate as text; the JSON document has the same name.
    """
    context = StageContext.of(program_name)
    steps = steps_of(context, name)
    if not steps and (former := _certified(context, name)):
        # The last objects of the batch were about to be deleted when the try before was killed, or are.
        delete_folder(context, name)
        return former
    batch = read_batch(program_name, name)
    if _CERTIFIED in steps:
        batch.clean_up()
        return str(steps[_CERTIFIED])
    if job_arn:
        record_deletion_job(program_name, name, job_arn)
    # The time is kept first: a retry writes the same objects.
    if "completed_at" not in batch.steps():
        batch.record_step("completed_at", datetime.now(UTC).isoformat(timespec="seconds"))
    certificates = _certificates(batch)
    bucket, keys = batch.context.bucket, batch.context.keys
    stamp = f"{datetime.fromisoformat(certificates[0].completed_at):%Y%m%dT%H%M%S}"

    def write(one: Certificate) -> None:
        bucket.put_json(keys.certificate(one.erasure, stamp, ".json"), asdict(one))
        bucket.put(keys.certificate(one.erasure, stamp, ".txt"), one.text().encode())

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(write, certificates))
    sums = Counts.of(batch.steps()["objects"]).totals()
    document = batch_certificate(certificates, sums, places=bucket.uri(f"{keys.erasures}certificates/"))
    bucket.put_json(keys.batch_certificate(name, stamp, ".json"), document)
    key = keys.batch_certificate(name, stamp, ".txt")
    bucket.put(key, batch_text(document).encode())
    batch.record_step(_CERTIFIED, bucket.uri(key))
    batch.clean_up()
    log.info("%s", batch_text(document))
    return bucket.uri(key)


def _certificates(batch: ErasureBatch) -> list[Certificate]:
    context, steps = batch.context, batch.steps()
    counts = Counts.of(steps["objects"])
    suppression = context.store(SuppressionStore).read()
    has_tables = any(each.program.tables for each in context.over_data)
    versioned = _versioned(batch)
    nothing: dict[str, dict[str, int]] = {"objects": {}, "rows": {}}
    return [
        Certificate(
            program=context.program.name,
            erasure=request.name,
            person=suppression.digest(USER, request.identity.user_id),
            requested_at=request.requested_at,
            completed_at=steps["completed_at"],
            s3={
                **counts.people.get(request.name, nothing),
                "manifests": counts.manifests,
                "looked_at": counts.looked_at,
            },
            personalize=steps.get(_PERSONALIZE_STEP),
            braze={**steps[_BRAZE_STEP], "profiles": len(request.identity.external_ids)},
            remains=_remains(request, context, versioned=versioned),
            others=(*OTHERS, *([OF_TABLES] if has_tables else [])),
            sharers=tuple(each.program.name for each in context.over_data[1:]),
            batch=batch.name,
            people=len(batch.requests),
        )
        for request in batch.requests
    ]


def _certified(context: StageContext, name: str) -> str | None:
    """Return the newest certificate of a batch."""
    folder = context.keys.batch_certificate("", "", "").removesuffix("-")
    found = [key for key in context.bucket.keys(folder) if key.endswith(f"-{name}.txt")]
    return context.bucket.uri(found[-1]) if found else None


def _remains(request: Request, context: StageContext, *, versioned: bool) -> tuple[str, ...]:
    found = [
        f"Amazon Personalize: models trained before hold the person until the next FULL training "
        f"({context.program.name}_train_full) and until old solutions are deleted ({context.program.name}_maintain). "
        "Inference leaves suppressed users out; a segment may still return the person until then.",
        f"The suppression list {context.bucket.uri(context.keys.state('suppression.json'))} keeps keyed hashes of the "
        "person's ids, so that exports and audiences leave the person out while the warehouse still has them.",
    ]
    if request.in_run_conf:
        found.append(
            "Airflow: the id was given as a parameter of this DAG run and is in its configuration; delete the run "
            "in the Airflow UI. make forget passes no id to Airflow."
        )
    if versioned:
        found.append(
            f"S3: the bucket {context.bucket.name} keeps former versions of objects; let its life-cycle rule expire "
            "noncurrent versions, or delete them."
        )
    return tuple(found)


def _versioned(batch: ErasureBatch) -> bool:
    try:
        return batch.context.bucket.keeps_versions()
    except DELIBERATE:
        log.warning(
            "It is unknown whether the bucket keeps former versions: the role may not read its versioning."
        )
        return True
