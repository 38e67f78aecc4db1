"""What speaks for and against a training: gathered from manifests, reports and the champions' history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION_VERSION
from airflow_personalize.status import State, state_of
from recsync.context import StageContext
from recsync.evaluation.champion_store import ChampionStore, Outcome
from recsync.export.report_store import Reports
from recsync.export.store import Exports
from recsync.imports.choice import Choice
from recsync.imports.dataset_state import Held
from recsync.imports.store import ImportState
from recsync.program import DatasetType, names
from recsync.program.recipes import RECIPES
from recsync.training.decision import Decision
from recsync.training.full_training import Situation, decide_full, drift
from recsync.training.lineage import full_version_of
from recsync.training.pinned_solutions import wanted

_EVENTS = DatasetType.INTERACTIONS
_ITEMS = DatasetType.ITEMS


def full_needed(program_name: str, now: datetime, *, due: bool) -> Decision:
    """Decide whether a FULL run that nobody started by hand trains.

    :param due: the schedule started it.
    """
    context = StageContext.of(program_name)
    if due and (changed := _changed_solution(context)):
        return Decision(True, changed)
    return decide_full(_situation(context), now, context.program.train_full, due=due)


def _changed_solution(context: StageContext) -> str | None:
    """Say that the champion is of a solution the program trains no more: its settings changed, or were found."""
    champion = context.store(ChampionStore).read()
    if champion is None:
        return None
    former = champion.solution_version_arn.split("/")[-2]
    present = [spec.name for spec in wanted(context).values()]
    if former in present:
        return None
    return f"The champion is of solution {former}; the program's settings now make it {present[0]}."


def drifted(program_name: str, now: datetime) -> str | None:
    """Say what drifted so far that a FULL training should come before its time; None when nothing did."""
    context = StageContext.of(program_name)
    settings = context.program.train_full.drift
    return drift(_situation(context), settings, now) if settings else None


def new_items(context: StageContext, held: Held, choices: Mapping[DatasetType, Choice]) -> int:
    """Count the items among the pending rows that no import brought before.

    Where an export kept no ids to compare (its checks were off), its rows count.
    """
    taken = choices[_ITEMS].taken if _ITEMS in choices else ()
    if not taken:
        return 0
    reports, last = context.store(Reports), held.full[_ITEMS]
    known = [reports.ids(last.snapshot)] if last.snapshot else []
    changed = {piece.interval.key for piece in taken}
    for interval, digests in held.intervals.items():
        if digest := digests.get(_ITEMS.value):
            exported = context.keys.export(_ITEMS, interval)
            # The ids beside an interval that was exported again are no longer those that were imported.
            known.append(reports.kept_ids(exported, digest) if interval in changed else reports.ids(exported))
    held_ids = [ids for ids in known if ids is not None]
    if not held_ids:
        return sum(piece.rows for piece in taken)
    found = [(piece.rows, reports.ids(piece.source.key)) for piece in taken]
    pending = [ids for _, ids in found if ids is not None]
    unknown = sum(rows for rows, ids in found if ids is None)
    fresh = np.setdiff1d(np.concatenate(pending), np.concatenate(held_ids)) if pending else ()
    return len(fresh) + unknown


def reason_against_renewal(program_name: str) -> str | None:
    """Say why an UPDATE would not renew the champion: it renews the newest FULL version of the solution.

    That may be one that was refused, or rolled back from. None: it would, or it renews one that a killed run left
    unjudged; then what comes out is judged itself.
    """
    context = StageContext.of(program_name)
    history = context.store(ChampionStore).history()
    if not history:
        return None  # planning says what is missing
    champion = history[-1].solution_version_arn
    recipe = names.recipe_of_version(context.program, champion)
    promoted = [e.solution_version_arn for e in history if e.outcome is Outcome.PROMOTED]
    if promoted and champion != promoted[-1]:
        return (
            f"The champion was rolled back to {champion}; an UPDATE would learn again what {promoted[-1]} had learnt. "
            "Updates go on when the next FULL training is promoted."
        )
    if recipe and not RECIPES[recipe].update:
        return f"The champion {champion} is of {recipe}, which knows no UPDATE; the next FULL takes the new rows."
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    solution = champion.rsplit("/", 1)[0]
    fulls = [
        version
        for version in hook.listed(SOLUTION_VERSION, solutionArn=solution)
        if state_of(version) is State.READY and version.get("trainingMode", "FULL") == "FULL"
    ]
    if not fulls:
        return f"{solution} has no ACTIVE FULL version any more; run {context.program.name}_train_full."
    newest = max(fulls, key=lambda version: version["creationDateTime"])["solutionVersionArn"]
    ancestor = full_version_of(champion, [(e.solution_version_arn, e.training_mode) for e in history])
    judged = {entry.solution_version_arn for entry in context.store(ChampionStore).judged()}
    if newest not in judged and context.program.gate.asks_a_person("FULL"):
        return (
            f"An UPDATE would renew {newest}, which no person has approved: its run waits for the answer, or "
            f"did not end. Updates go on after the answer, or after the next run of {context.program.name}_train_full."
        )
    if ancestor in {None, newest} or newest not in judged:
        return None
    return (
        f"The champion {champion} descends from {ancestor}, but an UPDATE would renew {newest}, the newest FULL "
        "version of the solution, which was refused or rolled back from. The next FULL training takes the new rows."
    )


def _situation(context: StageContext) -> Situation:
    last = context.store(ImportState).read().full.get(_EVENTS)
    if last is None:
        return Situation(None)
    since = [m for m in context.store(Exports).intervals_since(last.until) if _EVENTS in m.objects]
    then, now = _figures(context)
    return Situation(
        last_until=last.until,
        began=context.store(Exports).newest_full_began(),
        rows_then=_rows_of_full(context),
        rows_since=sum(m.objects[_EVENTS].rows for m in since) if since else None,
        new_items_share=_new_items_share(context, [m.objects[_EVENTS].key for m in since]),
        figure_then=then,
        figure_now=now,
    )


def _rows_of_full(context: StageContext) -> int | None:
    newest = context.store(Exports).newest_full()
    return newest.objects[_EVENTS].rows if newest and _EVENTS in newest.objects else None


def _new_items_share(context: StageContext, exported: list[str]) -> float | None:
    rows = share = 0.0
    for report in context.store(Reports).get_many(map(context.store(Reports).path_of, exported)):
        found = report.get("figures", {}).get("new_items_share")
        if found is not None:
            share += found * report["exported"]
            rows += report["exported"]
    return share / rows if rows else None


def _figures(context: StageContext) -> tuple[float | None, float | None]:
    """Give the gate's metric of the last promoted FULL version, and of the champion."""
    metric, history = context.program.gate_metric, context.store(ChampionStore).history()
    if not history or metric is None:
        return None, None
    fulls = [champion for champion in history if champion.training_mode == "FULL"]
    return (fulls[-1].metrics.get(metric) if fulls else None), history[-1].metrics.get(metric)
