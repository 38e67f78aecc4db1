"""Gather what decides about a training from manifests, reports and the champions' history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from recsync.context import StageContext
from recsync.evaluation.store import ChampionStore
from recsync.export.store import ExportStore, ReportStore
from recsync.imports.dataset_state import DatasetState
from recsync.imports.new_rows import Choice
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.training.decision import Situation, TrainingDecision, decide_full, drift
from recsync.training.tuning import current_solutions

_EVENTS = DatasetType.INTERACTIONS
_ITEMS = DatasetType.ITEMS


def full_needed(program_name: str, now: datetime, *, due: bool) -> TrainingDecision:
    """Decide whether a scheduled FULL run, or one that drift started, trains.

    :param due: the schedule started it.
    """
    context = StageContext.of(program_name)
    if due and (changed := _changed_solution(context)):
        return TrainingDecision(True, changed)
    return decide_full(_situation(context), now, context.program.train_full, due=due)


def _changed_solution(context: StageContext) -> str | None:
    """Say that the champion is of a solution that the program, or its tuning, has replaced by other settings."""
    champion = context.store(ChampionStore).read()
    if champion is None:
        return None
    former = champion.solution_version_arn.split("/")[-2]
    present = [spec.name for spec in current_solutions(context).values()]
    if former in present:
        return None
    return f"The champion is of solution {former}; the program's settings now make it {present[0]}."


def drifted(program_name: str, now: datetime) -> str | None:
    """Describe a drift that calls for a FULL training before its schedule; None without one."""
    context = StageContext.of(program_name)
    settings = context.program.train_full.drift
    return drift(_situation(context), settings, now) if settings else None


def new_items(context: StageContext, state: DatasetState, choices: Mapping[DatasetType, Choice]) -> int:
    """Count the items among the pending rows that were never imported.

    Where an export kept no ids to compare (its checks were off), its rows count.
    """
    taken = choices[_ITEMS].taken if _ITEMS in choices else ()
    if not taken:
        return 0
    reports, last = context.store(ReportStore), state.full[_ITEMS]
    known = [reports.ids(last.snapshot)] if last.snapshot else []
    changed = {piece.interval.key for piece in taken}
    for interval, digests in state.intervals.items():
        if digest := digests.get(_ITEMS.value):
            exported = context.keys.export(_ITEMS, interval)
            # The ids beside an interval that was exported again are not the imported ones any more.
            known.append(reports.kept_ids(exported, digest) if interval in changed else reports.ids(exported))
    known_ids = [ids for ids in known if ids is not None]
    if not known_ids:
        return sum(piece.rows for piece in taken)
    found = [(piece.rows, reports.ids(piece.source.key)) for piece in taken]
    pending = [ids for _, ids in found if ids is not None]
    unknown = sum(rows for rows, ids in found if ids is None)
    fresh = np.setdiff1d(np.concatenate(pending), np.concatenate(known_ids)) if pending else ()
    return len(fresh) + unknown


def _situation(context: StageContext) -> Situation:
    last = context.store(ImportStore).read().full.get(_EVENTS)
    if last is None:
        return Situation(None)
    since = [m for m in context.store(ExportStore).intervals_since(last.until) if _EVENTS in m.objects]
    then, now = _figures(context)
    return Situation(
        last_until=last.until,
        began=context.store(ExportStore).newest_full_began(),
        rows_then=_rows_of_full(context),
        rows_since=sum(m.objects[_EVENTS].rows for m in since) if since else None,
        new_items_share=_new_items_share(context, [m.objects[_EVENTS].key for m in since]),
        figure_then=then,
        figure_now=now,
    )


def _rows_of_full(context: StageContext) -> int | None:
    newest = context.store(ExportStore).newest_full()
    return newest.objects[_EVENTS].rows if newest and _EVENTS in newest.objects else None


def _new_items_share(context: StageContext, exported: list[str]) -> float | None:
    rows = share = 0.0
    for report in context.store(ReportStore).get_many(map(context.store(ReportStore).path_of, exported)):
        found = report.get("figures", {}).get("new_items_share")
        if found is not None:
            share += found * report["exported"]
            rows += report["exported"]
    return share / rows if rows else None


def _figures(context: StageContext) -> tuple[float | None, float | None]:
    """Return the gate's metric of the last promoted FULL version, and of the champion."""
    metric, history = context.program.gate_metric, context.store(ChampionStore).history()
    if not history or metric is None:
        return None, None
    fulls = [champion for champion in history if champion.training_mode == "FULL"]
    return (fulls[-1].metrics.get(metric) if fulls else None), history[-1].metrics.get(metric)
