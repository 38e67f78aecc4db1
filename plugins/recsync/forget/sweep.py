"""Take one person out of every object below the program's prefix."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from recsync.forget.erase_objects import erase
from recsync.forget.erasure_rules import Way, area_of, way_of
from recsync.forget.manifests import mend
from recsync.forget.request import Erasure, opened
from recsync.push.closing import close
from recsync.push.last_sent import LastSent
from recsync.push.store import Deliveries

log = logging.getLogger(__name__)

_THREADS = 8
_STEP = "objects"


def sweep(program_name: str, name: str, *, last_look: bool = False) -> dict[str, Any]:
    """Rewrite everything that names the person; what was rewritten by a former try is found to be done.

    :param last_look: long after the first sweep: a delivery that is open now began after the suppression, and goes on.
    :returns: by area of the bucket, how many objects and rows.
    """
    erasure = opened(program_name, name)
    if not last_look:
        _close_delivery(erasure)
    places = _places(erasure)
    objects, rows = _swept(erasure, places)
    mended = mend(erasure.context)
    former = erasure.done().get(_STEP, {"objects": {}, "rows": {}, "manifests": 0, "looked_at": 0})
    found = {
        "objects": dict(Counter(former["objects"]) + objects),
        "rows": dict(Counter(former["rows"]) + rows),
        "manifests": former["manifests"] + mended,
        "looked_at": max(former["looked_at"], len(places)),
    }
    erasure.note(_STEP, found)
    log.info("Erasure %s: %s", name, found)
    return found


def _places(erasure: Erasure) -> list[tuple[str, Way]]:
    program = erasure.context.program.name
    found = ((key, way_of(program, key)) for key in erasure.context.bucket.keys(f"{program}/"))
    return [(key, way) for key, way in found if way]


def _swept(erasure: Erasure, places: list[tuple[str, Way]]) -> tuple[Counter[str], Counter[str]]:
    bucket, program = erasure.context.bucket, erasure.context.program.name
    objects: Counter[str] = Counter()
    rows: Counter[str] = Counter()

    def one(place: tuple[str, Way]) -> tuple[str, int]:
        key, way = place
        return area_of(program, key), erase(bucket, key, way, erasure.name, erasure.identity)

    with ThreadPoolExecutor(_THREADS) as threads:
        for area, removed in threads.map(one, places):
            if removed:
                objects[area] += 1
                rows[area] += removed
    return objects, rows


def _close_delivery(erasure: Erasure) -> None:
    """End a delivery that nobody finished: what it settled goes into the state, before the person leaves that."""
    context = erasure.context
    state, _ = context.store(LastSent).read()
    if state.open_delivery:
        plan = context.store(Deliveries).plan(state.open_delivery)
        close(context, plan, by=f"forget-{erasure.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
