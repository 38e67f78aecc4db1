"""The end of an erasure: a last look at S3, the certificate, and nothing left that names the person."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from recsync.context import StageContext
from recsync.errors import DELIBERATE
from recsync.forget.certificate import Certificate
from recsync.forget.deletion_job import note_job
from recsync.forget.request import Erasure, opened
from recsync.forget.sweep import sweep
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import USER

log = logging.getLogger(__name__)

_OTHERS = (
    "Warehouse: recsync reads it and changes nothing there; delete the person in its tables, views and backups.",
    "Braze: e-mails that were sent, Currents exports and segments downloaded by people are outside of recsync.",
)


def certify(program_name: str, name: str, job_arn: str | None) -> str:
    """Sweep once more, for what a run that began before the suppression wrote; then certify and clean up.

    :returns: the S3 URI of the certificate as a text; the JSON document lies beside it.
    """
    if former := _certified(StageContext.of(program_name), name):
        return former
    note_job(program_name, name, job_arn)
    done = {**opened(program_name, name).done(), "objects": sweep(program_name, name, last_look=True)}
    erasure = opened(program_name, name)
    context, now = erasure.context, datetime.now(UTC)
    certificate = Certificate(
        program=program_name,
        erasure=name,
        person=context.store(SuppressionStore).read().digest(USER, erasure.identity.user_id),
        requested_at=erasure.requested_at,
        completed_at=now.isoformat(timespec="seconds"),
        s3=done["objects"],
        personalize=done.get("personalize"),
        braze=done["braze"],
        remains=_remains(erasure),
        others=_OTHERS,
    )
    stamp = f"{now:%Y%m%dT%H%M%S}"
    context.bucket.put_json(context.keys.certificate(name, stamp, ".json"), certificate.to_json())
    key = context.keys.certificate(name, stamp, ".txt")
    context.bucket.put(key, certificate.text().encode())
    erasure.finish()
    log.info("%s", certificate.text())
    return context.bucket.uri(key)


def _certified(context: StageContext, name: str) -> str | None:
    """Give the certificate of a former try, which died while it cleaned up, or just after."""
    if context.bucket.etag(context.keys.erasure(name, "request.json")) is not None:
        return None
    certificates = context.bucket.keys(context.keys.certificate("", "", "").removesuffix("-"))
    found = [key for key in certificates if key.endswith(f"-{name}.txt")]
    return context.bucket.uri(found[-1]) if found else None


def _remains(erasure: Erasure) -> tuple[str, ...]:
    context = erasure.context
    found = [
        f"Amazon Personalize: models trained before know the person until the next FULL training "
        f"({context.program.name}_train_full) and until old solutions are deleted ({context.program.name}_maintain). "
        "They are asked about nobody who is suppressed; a segment may still name the person until then.",
        f"The suppression list {context.bucket.uri(context.keys.state('suppression.json'))} keeps keyed hashes of the "
        "person's ids, so that exports and audiences leave the person out as long as the warehouse has them.",
    ]
    if erasure.in_run_conf:
        found.append(
            "Airflow: the id was given as a parameter of this DAG run and stands in its configuration; delete the run "
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
        log.warning("Whether the bucket keeps former versions is not known: it may not be asked.")
        return True
