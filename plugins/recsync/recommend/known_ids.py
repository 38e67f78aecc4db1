"""Compare the ids of an audience and a catalog with those that exports hold, before a job is paid for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.alerts.send import send
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.report_store import Reports
from recsync.export.store import Exports
from recsync.program import DatasetType, Event, Program
from recsync.program.recipes import Asks
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.known_ids import UnknownIds, What, usual_share

log = logging.getLogger(__name__)

_EARLIER_RUNS = 7
# Recipes whose job is not asked about users of the audience.
_WITHOUT_USERS = frozenset({Asks.NOTHING, Asks.ITEM})


def check_known_ids(context: StageContext, run: str, audience: Path, catalogue: Catalogue) -> None:
    """Compare the ids, keep the figures beside the run, and tell of what is unusual.

    Without a published snapshot, or without checks, nothing is known to compare with.

    :raises FatalError: when nearly nobody is known.
    """
    asks, checks = context.program.personalize.traits.asks, context.program.checks
    item_kind = DatasetType.ACTIONS if asks is Asks.ACTIONS else DatasetType.ITEMS
    earlier = _earlier(context, run)
    found = []
    users = None if asks in _WITHOUT_USERS else known_ids(context, DatasetType.USERS)
    if users is not None:
        batches = pq.ParquetFile(audience).iter_batches(columns=["user_id"])
        columns = (batch["user_id"] for batch in batches)
        usual = _usual(earlier, "audience", checks.drift.min_exports)
        found.append(UnknownIds.of("audience", context.program.sql_file("audience"), columns, users, usual))
    items = known_ids(context, item_kind)
    if items is not None:
        usual = _usual(earlier, "catalog", checks.drift.min_exports)
        sql = context.program.sql_file("catalogue")
        found.append(UnknownIds.of("catalog", sql, [catalogue.item_ids], items, usual))
    key = context.keys.known_ids_report(run)
    context.bucket.put_json(key, {one.what: one.to_json() for one in found})
    drifted = [one for one in found if one.drift_level(checks) != "note"]
    stopped = [one for one in found if "stop" in {one.level(checks), one.drift_level(checks)}]
    for one in found:
        if one in drifted or one.level(checks) != "note":
            log.warning("%s", one.text)
    _tell_of_unknown_ids(context.program, drifted, context.bucket.uri(key))
    if stopped:
        raise FatalError(
            f"{' '.join(one.text for one in stopped)} Nothing was asked of Amazon Personalize. Limits: "
            "checks.rules.unknown_audience, unknown_catalog and checks.drift.unknown_ids in the program file."
        )


def known_ids(context: StageContext, kind: DatasetType) -> NDArray[np.uint64] | None:
    """Gather the hashed ids that the last snapshot and the intervals since hold; None when nobody kept them.

    Of users and items without a dataset of their own, those of the interactions.
    """
    last = context.store(Exports).newest_full()
    own = kind in context.program.dataset_types
    source, of = (kind, None) if own else (DatasetType.INTERACTIONS, kind)
    if last is None or source not in last.objects:
        return None
    snapshot = context.store(Reports).ids(last.objects[source].key, of=of)
    if snapshot is None:
        return None
    return np.unique(
        np.concatenate([snapshot, *context.store(Reports).ids_since(source, last.interval.end, of=of)])
    )


def _earlier(context: StageContext, run: str) -> list[dict[str, Any]]:
    """Read the figures of the runs before, newest first."""
    own, suffix = context.keys.known_ids_report(run), context.keys.known_ids_report("").rpartition("/")[2]
    keys = [
        key for key in context.bucket.keys(context.keys.all_recommendations) if key.endswith(f"/{suffix}")
    ]
    before = sorted((key for key in keys if key < own), reverse=True)[:_EARLIER_RUNS]
    return [document for key in before if (document := context.bucket.get_json(key))]


def _usual(earlier: list[dict[str, Any]], what: What, least: int) -> float | None:
    return usual_share([one[what]["share"] for one in earlier if what in one], least)


def _tell_of_unknown_ids(program: Program, unknown: Sequence[UnknownIds], report_uri: str) -> None:
    """Tell of an audience or a catalog of which more than usual is in no export; nothing when there is none."""
    if not unknown:
        return
    lines = (
        *(f"What happened: {one.text}" for one in unknown),
        "What to do: see whether the ids of one of the queries are written otherwise than before; limits: "
        "checks.drift.unknown_ids in the program file.",
        f"Figures: {report_uri}",
    )
    what = " and ".join(one.what for one in unknown)
    send(
        program,
        Event.DRIFT,
        f"more of the {what} than usual is in no export",
        "\n".join(lines),
        key=f"ids: {what}",
    )
