"""Evaluate a solution version, promote it to champion, reject it, and roll back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import State, state_of, status_of
from airflow_personalize.resources import SOLUTION_VERSION
from recsync.context import StageContext
from recsync.errors import FatalError, PromotionRefusedError
from recsync.evaluation.comparison import ask_online, comparable
from recsync.evaluation.gate import Metrics, evaluate
from recsync.evaluation.store import Champion, ChampionStore, ComparisonStore, PromotionOutcome
from recsync.program import names
from recsync.program.recipes import NDCG_25, RECIPES


def full_version_of(solution_version_arn: str, history: Sequence[Champion]) -> Champion | None:
    """Find the FULL version that a champion descends from, or that it is itself.

    :param history: the champions, oldest first; a rollback repeats an earlier one.
    :returns: None when the history does not tell.
    """
    arns = [entry.solution_version_arn for entry in history]
    if solution_version_arn not in arns:
        return None
    # Later entries of the same version are rollbacks, with others in between.
    until_first = history[: arns.index(solution_version_arn) + 1]
    solution = solution_version_arn.rsplit("/", 1)[0]
    for entry in reversed(until_first):
        if entry.training_mode == "FULL" and entry.solution_version_arn.rsplit("/", 1)[0] == solution:
            return entry
    return None


def update_blocker(program_name: str) -> str | None:
    """Say why an UPDATE would not renew the champion; None when it would.

    An UPDATE renews the newest FULL version of the solution, which may have been refused, or rolled back from. One
    that a killed run left without evaluation blocks nothing: the update of it is evaluated itself.
    """
    context = StageContext.of(program_name)
    history = context.store(ChampionStore).history()
    if not history:
        return None  # planning fails with its own message
    champion = history[-1].solution_version_arn
    recipe = names.recipe_of_version(context.program, champion)
    promoted = [e.solution_version_arn for e in history if e.outcome is PromotionOutcome.PROMOTED]
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
    evaluated = {entry.solution_version_arn for entry in context.store(ChampionStore).evaluated()}
    if newest not in evaluated:
        if not context.program.gate.asks_a_person("FULL"):
            return None
        return (
            f"An UPDATE would renew {newest}, which no person has approved: its run waits for the answer, or "
            f"did not end. Updates go on after the answer, or after the next run of {context.program.name}_train_full."
        )
    ancestor = full_version_of(champion, history)
    if ancestor is None or ancestor.solution_version_arn == newest:
        return None
    return (
        f"The champion {champion} descends from {ancestor.solution_version_arn}, but an UPDATE would renew {newest}, "
        "the newest FULL version of the solution, which was refused or rolled back from. The next FULL training takes "
        "the new rows."
    )


log = logging.getLogger(__name__)

# A version is evaluated in the run that compared it; a cleared task may be some runs late.
_COMPARISONS = 5


def evaluate_version(
    program_name: str,
    run_id: str,
    solution_version_arn: str,
    training_mode: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
    segment_version_arn: str | None = None,
) -> dict[str, Any]:
    """Let the gate compare a version with the champion and its baseline.

    :param baseline_metrics: of the baseline trained in this run; None for an UPDATE, which is compared with the
        baseline of the champion it renews.
    :param segment_version_arn: the version that finds the audience, trained on the same data; None keeps the present.
    :returns: for promotion: the ``candidate``, the ``champion`` it was compared with, and the figures as ``table``.
    :raises PromotionRefusedError: when the gate refuses it, with the figures; the champion stays.
    """
    context = StageContext.of(program_name)
    history = context.store(ChampionStore).history()
    former = history[-1] if history else None
    if baseline_metrics is None and former and context.program.personalize.baseline_recipe:
        baseline_metrics = former.baseline_metrics
    candidate = Champion(
        solution_version_arn=solution_version_arn,
        training_mode=training_mode,
        promoted_at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        metrics=metrics,
        baseline_metrics=baseline_metrics,
        segment_version_arn=segment_version_arn or (former.segment_version_arn if former else ""),
    )
    _check_not_a_former_champion(program_name, candidate, history)
    if training_mode == "UPDATE" and (why := update_blocker(program_name)):
        # A rollback may have happened during the training.
        _refuse(context, candidate, former, why)
    result = evaluate(
        context.program.gate,
        Metrics(metrics, baseline_metrics),
        _comparable_champion(context, former, candidate),
        context.program.gate_metric,
        _full_version(former, history) if training_mode == "UPDATE" else None,
    )
    log.info("%s beside %s:\n%s", solution_version_arn, _arn(former), result.table())
    if result.refusals:
        advice = f"Look at the data, or change gate in the program file.\n{result.table()}"
        _refuse(context, candidate, former, "; ".join(result.refusals), advice)
    asked = ask_online(context, _challenger(context, solution_version_arn), solution_version_arn, former)
    if asked.refusal:
        _refuse(context, candidate, former, asked.refusal)
    if asked.note:
        log.info("%s", asked.note)
    table = "\n\n".join(filter(None, (result.table(), asked.note)))
    return {"candidate": asdict(candidate), "champion": _arn(former), "table": table}


def _challenger(context: StageContext, solution_version_arn: str) -> str:
    """Find the challenger of a solution version in the last comparisons; empty: the program's own solution."""
    candidates = (
        each for made in context.store(ComparisonStore).newest(_COMPARISONS) for each in made.candidates
    )
    return next((each.name for each in candidates if each.solution_version_arn == solution_version_arn), "")


def beside(program_name: str, metrics: dict[str, float], baseline_metrics: dict[str, float] | None) -> str:
    """Write the gate's metric of a version beside the champion's and the baseline's: ``NDCG 0.455 beside 0.438``."""
    context = StageContext.of(program_name)
    metric, champion = context.program.gate_metric, context.store(ChampionStore).read()
    if metric is None or metric not in metrics:
        return "a version without a figure to compare"
    name = "NDCG" if metric == NDCG_25 else metric.replace("_", " ")
    text = f"{name} {metrics[metric]:.3f}"
    if champion and (former := champion.metrics.get(metric)) is not None:
        text += f" beside {former:.3f}"
    floor = (baseline_metrics or {}).get(metric)
    return text if floor is None else f"{text}, baseline {floor:.3f}"


def short(solution_version_arn: str) -> str:
    """Return the name of a solution and its version's, without region and account."""
    return "/".join(solution_version_arn.split("/")[-2:])


def promote(program_name: str, judged: dict[str, Any], approved_by: str = "") -> dict[str, Any]:
    """Make a version that passed the gate the champion.

    :param judged: what :func:`evaluate_version` returned.
    :param approved_by: who approved it, where the program asks a person.
    :returns: the champion, for the asset event.
    :raises PromotionRefusedError: when it was replaced before, or the champion is another one than at its evaluation.
    """
    context = StageContext.of(program_name)
    champion = replace(
        Champion.parse(judged["candidate"]), by=approved_by, promoted_at=datetime.now(UTC).isoformat()
    )

    def check(history: list[Champion]) -> None:
        _check_not_a_former_champion(program_name, champion, history)
        _check_same_champion(context, champion, judged["champion"], history)

    context.store(ChampionStore).promote(champion, check)
    log.info("Champion of %s is now %s", program_name, champion.solution_version_arn)
    return asdict(champion)


def reject(program_name: str, judged: dict[str, Any], rejected_by: str) -> str:
    """Record that a version was rejected, or not approved in time.

    :returns: the sentence for the log.
    """
    context = StageContext.of(program_name)
    candidate = Champion.parse(judged["candidate"])
    reason = f"rejected by {rejected_by}" if rejected_by else "nobody approved it in time"
    context.store(ChampionStore).record(
        replace(candidate, outcome=PromotionOutcome.REJECTED, by=rejected_by, reason=reason)
    )
    return (
        f"{candidate.solution_version_arn} does not become champion: {reason}. The champion stays "
        f"{judged['champion']}."
    )


def roll_back(program_name: str, run_id: str, version: str = "", by: str = "") -> dict[str, Any]:
    """Make a former champion the champion again.

    :param version: ARN of the solution version; empty takes the champion before the present one.
    :param by: name of the person.
    :returns: the champion, for the asset event.
    :raises FatalError: when it never was champion, or is not ACTIVE in Amazon Personalize any more.
    """
    context = StageContext.of(program_name)
    history = context.store(ChampionStore).history()
    if history and history[-1].run_id == run_id and history[-1].outcome is PromotionOutcome.ROLLED_BACK:
        return asdict(history[-1])  # a retry of this run
    target = _former(program_name, history, version)
    arn = target.solution_version_arn
    found = PersonalizeHook(aws_conn_id=context.program.aws).describe_if_any(SOLUTION_VERSION, arn)
    if found is None or state_of(found) is not State.READY:
        state = "gone" if found is None else status_of(found)
        raise FatalError(
            f"{arn} is {state} in Amazon Personalize; roll back to another version, or train FULL."
        )
    entry = replace(
        target,
        outcome=PromotionOutcome.ROLLED_BACK,
        promoted_at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        by=by,
        reason=f"instead of {history[-1].solution_version_arn}",
    )
    context.store(ChampionStore).promote(entry)
    log.info("Champion of %s is again %s", program_name, arn)
    return asdict(entry)


def _former(program_name: str, history: list[Champion], version: str) -> Champion:
    if not history:
        raise FatalError(f"Program {program_name} has no champion; run {program_name}_train_full first.")
    arns = [entry.solution_version_arn for entry in history]
    if version:
        if version not in arns:
            former = ", ".join(dict.fromkeys(arns))
            raise FatalError(f"{version} never was champion of {program_name}; those were {former}.")
        return history[arns.index(version)]
    # Before its first entry: a second rollback goes further back, not forth again.
    earlier = [entry for entry in history[: arns.index(arns[-1])] if entry.solution_version_arn != arns[-1]]
    if not earlier:
        raise FatalError(f"{arns[-1]} is the first champion of {program_name}; there is none before it.")
    return earlier[-1]


def _refuse(
    context: StageContext, candidate: Champion, former: Champion | None, reason: str, advice: str = ""
) -> NoReturn:
    context.store(ChampionStore).record(replace(candidate, outcome=PromotionOutcome.REFUSED, reason=reason))
    raise PromotionRefusedError(
        f"{candidate.solution_version_arn} does not become champion: {reason.rstrip('.')}. The champion stays "
        f"{_arn(former)}. {advice}".rstrip()
    )


def _check_not_a_former_champion(program_name: str, candidate: Champion, history: list[Champion]) -> None:
    """Check that a cleared run does not bring back a replaced version."""
    arns = [entry.solution_version_arn for entry in history]
    arn = candidate.solution_version_arn
    if arn in arns and arn != arns[-1]:
        raise PromotionRefusedError(
            f"{arn} was champion before, and {arns[-1]} came after it. A run that is cleared does not bring it back; "
            f"{program_name}_rollback does."
        )


def _check_same_champion(
    context: StageContext, candidate: Champion, evaluated_with: str, history: list[Champion]
) -> None:
    """Check that no rollback and no other FULL version came since the evaluation, or the approval.

    An UPDATE of the champion of that time changes nothing for the person who approved the candidate; the gate compares
    the two again.
    """
    now = history[-1] if history else None
    if _arn(now) in {evaluated_with, candidate.solution_version_arn}:
        return
    is_update = now is not None and now.outcome is PromotionOutcome.PROMOTED and now.training_mode == "UPDATE"
    full, full_then = (_arn(full_version_of(arn, history)) for arn in (_arn(now), evaluated_with))
    if is_update and full == full_then:
        champion = _comparable_champion(context, now, candidate)
        own = Metrics(candidate.metrics, candidate.baseline_metrics)
        refusals = evaluate(context.program.gate, own, champion, context.program.gate_metric).refusals
        if not refusals:
            return
        raise PromotionRefusedError(
            f"{candidate.solution_version_arn} does not become champion: {'; '.join(refusals)}. The champion is "
            f"{_arn(now)}, an update of the one that it was judged beside."
        )
    raise PromotionRefusedError(
        f"{candidate.solution_version_arn} was judged beside {evaluated_with}, but the champion of "
        f"{context.program.name} is {_arn(now)} since. The champion stays; clear the task judge to judge it beside "
        "that one."
    )


def _comparable_champion(
    context: StageContext, champion: Champion | None, candidate: Champion
) -> Metrics | None:
    return None if _arn(champion) == candidate.solution_version_arn else comparable(context, champion)


def _full_version(champion: Champion | None, history: list[Champion]) -> Metrics | None:
    """Return the figures of the FULL version that the champion descends from; None when unknown or the champion."""
    full = full_version_of(_arn(champion), history)
    if full is None or full.solution_version_arn == _arn(champion):
        return None
    return Metrics(full.metrics, full.baseline_metrics)


def _arn(champion: Champion | None) -> str:
    return champion.solution_version_arn if champion else "none"
