"""Replay: plan a delivery from the dead letters of an earlier one."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recsync.context import StageContext
from recsync.costs import budget
from recsync.costs import estimate as expecting
from recsync.errors import FatalError
from recsync.push.catalog import known_items
from recsync.push.last_sent import LastSent
from recsync.push.plan import delivery_name, estimate, sample
from recsync.push.replay_rows import parse_letters, plan_replay
from recsync.push.store import Deliveries, PlanManifest
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import PERSON


def replay(program_name: str, delivery: str, *, dag_run: str, dry_run: bool = False) -> PlanManifest:
    """Plan to send a delivery's dead letters again, as they now lie on S3.

    People whom a newer delivery has written are left alone, and so are lists that point at items that have left the
    catalogue.

    :param delivery: the one whose dead letters are meant.
    :raises FatalError: when it has none, when a line is broken, or while another delivery is open.
    """
    context = StageContext.of(program_name)
    body = context.store(Deliveries).dead_letters(delivery)
    if body is None:
        raise FatalError(f"Delivery {delivery} has no dead letters.")
    suppression = context.store(SuppressionStore).read()
    letters = [
        letter
        for letter in parse_letters(body, name=context.store(Deliveries).dead_letters_uri(delivery))
        if not suppression.holds(PERSON, letter.external_id)
    ]
    state, etag = context.store(LastSent).read()
    if state.open_delivery and not dry_run:
        former = context.store(Deliveries).plan(state.open_delivery)
        if former.dag_run == dag_run:
            return former
        raise FatalError(
            f"Delivery {state.open_delivery} is not complete; let it finish (or clear its run), then replay."
        )
    original = context.store(Deliveries).plan(delivery)
    items = known_items(context) if context.program.braze.catalog else None
    with tempfile.TemporaryDirectory(prefix="recsync-replay-") as folder:
        work = Path(folder)
        table = context.store(LastSent).download(state, work / "state.parquet")
        figures = plan_replay(letters, delivery, table, items, work / "plan", work)
        name = delivery_name(original.recommendations)
        if not dry_run:
            budget.authorise(context, f"replay of {delivery}", expecting.delivery(name, figures.data_points))
        manifest = PlanManifest(
            delivery=name,
            recommendations=original.recommendations,
            created_at=datetime.now(UTC).isoformat(),
            dag_run=dag_run,
            dry_run=dry_run,
            replay_of=delivery,
            figures=figures,
            estimate=estimate(context, figures),
        )
        context.store(Deliveries).publish(manifest, work / "plan", sample(work / "plan"))
    if not dry_run:
        context.store(LastSent).replace(replace(state, open_delivery=manifest.delivery), etag)
    return manifest
