"""Push: bring Braze in step with published recommendations, and account for every person."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from recsync.clients.braze import MAX_EXPORT_IDS, BrazeClient
from recsync.core.delivery import Account, Plan, Wanted, plan_delivery
from recsync.core.payloads import Json, list_value
from recsync.errors import RecsyncError
from recsync.hooks.braze import BrazeHook
from recsync.stages.catalog import sync_catalog
from recsync.stages.context import StageContext
from recsync.stages.sending import CONNECTIONS, send_all
from recsync.stores.recommendations import RecommendationsManifest

log = logging.getLogger(__name__)

_NEWEST = "newest_push.json"
# /users/track is applied some seconds after its 201; these waits (s) follow the lags seen, about 30 s in all.
VERIFY_WAITS_SECONDS = (1, 2, 4, 8, 15)


class SupersededError(Exception):
    """Newer recommendations were pushed before; pushing these would take people back."""


@dataclass(frozen=True)
class PushReport:
    """What one delivery did; every person of the audience is in exactly one of ``outcomes``.

    :param outcomes: people by outcome.
    :param left_audience: people outside the audience who lost the attribute.
    :param answers: Braze's answers by status; each is one request.
    :param data_points: estimate: one per attribute set or removed with ``ids``, one per field with ``objects``.
    :param verified: people read back; ``drifted`` of them did not have what was sent.
    """

    recommendations: str
    audience: int
    outcomes: dict[str, int]
    left_audience: int
    rejected: dict[str, str]
    catalog_items: int
    answers: dict[str, int]
    data_points: int
    verified: int
    drifted: int
    seconds: float


def choose(program_name: str, run: str | None) -> RecommendationsManifest:
    """Choose what to push: the run named, or the newest published one.

    :raises SupersededError: when newer recommendations were pushed already.
    """
    context = StageContext.of(program_name)
    manifest = context.recommendations.manifest(run or context.recommendations.latest_run() or "none")
    newest: dict[str, Any] = context.bucket.get_json(context.keys.state(_NEWEST)) or {}
    if manifest.created_at < newest.get("created_at", ""):
        raise SupersededError(
            f"Recommendations {manifest.run} of {manifest.created_at} are older than {newest['run']} of "
            f"{newest['created_at']}, which Braze has already; older lists are never written over newer ones."
        )
    return manifest


def push(program_name: str, manifest: RecommendationsManifest, *, part: str) -> PushReport:
    """Sync the catalogue, send what differs from the last-sent state, read a sample back, write the report.

    :param part: name of this try, sorting after every earlier one; progress is noted under it.
    :raises RetriableError: when Braze gave no clear answer; the retry goes on where this try stopped.
    """
    started = time.monotonic()
    context = StageContext.of(program_name)
    braze = context.program.braze
    client = BrazeHook(braze.connection, connections=CONNECTIONS).client
    # Written first: a delivery that dies half-way has sent some of the newer lists already.
    context.bucket.put_json(
        context.keys.state(_NEWEST), {"run": manifest.run, "created_at": manifest.created_at}
    )
    items = context.recommendations.items(manifest.run)
    wanted = list(context.recommendations.wanted(manifest.run))
    plan = plan_delivery(braze, wanted, items, context.last_sent.read())
    log.info(
        "%d people: %d to write, %d unchanged", len(plan.audience), len(plan.writes), len(plan.unchanged)
    )
    catalog_items = sync_catalog(context, client, items)
    account = Account(plan)
    _send(context, client, account, part)
    verified, drifted = _verify(context, client, account, wanted, items)
    report = PushReport(
        recommendations=manifest.run,
        audience=len(plan.audience),
        outcomes=account.outcomes(),
        left_audience=account.left_audience,
        rejected=dict(sorted(account.rejected.items())),
        catalog_items=catalog_items,
        answers=dict(client.answers),
        data_points=_data_points(context, plan, account),
        verified=verified,
        drifted=drifted,
        seconds=round(time.monotonic() - started, 3),
    )
    context.bucket.put_json(f"{context.keys.delivery(manifest.run)}{part}.json", asdict(report))
    return report


def _send(context: StageContext, client: BrazeClient, account: Account, part: str) -> None:
    flushed = 0

    def checkpoint(accepted: list[Any]) -> None:
        nonlocal flushed
        flushed += 1
        context.last_sent.append(f"{part}-{flushed:06d}", accepted)

    send_all(client, context.program.braze, account, checkpoint)
    context.last_sent.compact()


def _data_points(context: StageContext, plan: Plan, account: Account) -> int:
    """Count as Braze bills: https://www.braze.com/docs/user_guide/data/infrastructure/data_points."""
    taken = account.sent | account.removed
    return sum(
        1
        if write.value is None or context.program.braze.payload == "ids"
        else sum(len(item) for item in write.value)
        for write in plan.writes
        if write.external_id in taken
    )


def _verify(
    context: StageContext, client: BrazeClient, account: Account, wanted: list[Wanted], items: dict[str, Json]
) -> tuple[int, int]:
    """Read one call's worth of the people sent back and compare, giving Braze time to apply.

    :returns: how many were read, and how many of them differ.
    """
    braze = context.program.braze
    sent = [person for person in wanted if person.external_id in account.sent]
    # Seeded by the run's content: a sample, no secret.
    sample = random.Random(len(sent)).sample(sent, min(len(sent), MAX_EXPORT_IDS))  # ruff: ignore[suspicious-non-cryptographic-random-usage]
    left = {person.external_id: list_value(braze, person.item_ids, items) for person in sample}
    for seconds in VERIFY_WAITS_SECONDS:
        if not left:
            break
        time.sleep(seconds)
        try:
            profiles = client.export_users(list(left), ["external_id", "custom_attributes"])
        except RecsyncError as error:
            # What was sent stays sent; a key without users.export.ids must not fail the delivery.
            log.warning("Nothing could be read back: %s", error)
            return 0, 0
        for profile in profiles:
            attributes = profile.get("custom_attributes") or {}
            if attributes.get(braze.attribute) == left.get(profile.get("external_id", "")):
                left.pop(profile["external_id"], None)
    if left:
        log.error("Drift: %d of %d people read back do not have what was sent", len(left), len(sample))
    return len(sample), len(left)


def part_name(manifest: RecommendationsManifest) -> str:
    """Name one try of a delivery, sorting after every earlier one."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{manifest.run}"
