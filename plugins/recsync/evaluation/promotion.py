"""Promotion: a solution version is judged, what passes is the champion, and a person can go back to a former one."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resources import SOLUTION_VERSION
from airflow_personalize.status import State, state_of, status_of
from recsync.context import StageContext
from recsync.errors import FatalError, PromotionRefusedError
from recsync.evaluation.champion_store import Champion, ChampionStore, Outcome
from recsync.evaluation.gate import Side, judge
from recsync.program import names
from recsync.program.recipes import RECIPES
from recsync.training.lineage import full_version_of
from recsync.training.training_triggers import reason_against_renewal

log = logging.getLogger(__name__)


def judge_version(
    program_name: str,
    run_id: str,
    solution_version_arn: str,
    training_mode: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
    segment_version_arn: str | None = None,
) -> dict[str, Any]:
    """Let the gate judge a version beside the champion and its baseline.

    :param baseline_metrics: of the baseline trained in this run; None: an UPDATE is compared with the one of the
        champion it renews.
    :param segment_version_arn: the version that finds the audience, trained on the same data; None: as before.
    :returns: what promotion needs: the ``candidate``, and the figures as ``table``.
    :raises PromotionRefusedError: when the gate refuses it, with the figures; the champion stays.
    """
    context = StageContext.of(program_name)
    former = context.store(ChampionStore).read()
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
    _check_not_a_former_champion(context.program.name, candidate, context.store(ChampionStore).history())
    if training_mode == "UPDATE" and (why := reason_against_renewal(program_name)):
        # A person rolled back while it was trained; only a look now can tell.
        _refuse(context, candidate, former, why)
    champion = _comparable(context, former, candidate)
    verdict = judge(
        context.program.gate,
        Side(metrics, baseline_metrics),
        champion,
        context.program.gate_metric,
        _full_version(context, former) if training_mode == "UPDATE" else None,
    )
    log.info("%s beside %s:\n%s", solution_version_arn, _arn(former), verdict.table())
    if verdict.refusals:
        advice = f"Look at the data, or change gate in the program file.\n{verdict.table()}"
        _refuse(context, candidate, former, "; ".join(verdict.refusals), advice)
    return {"candidate": asdict(candidate), "champion": _arn(former), "table": verdict.table()}


def promote(program_name: str, judged: dict[str, Any], approved_by: str = "") -> dict[str, Any]:
    """Make a version that passed the gate the champion.

    :param judged: what :func:`judge_version` returned.
    :param approved_by: who approved it, where the program asks a person.
    :returns: the champion, for the asset event.
    :raises PromotionRefusedError: when it was replaced before, or there is another champion than it was judged beside.
    """
    context = StageContext.of(program_name)
    champion = replace(
        Champion.parse(judged["candidate"]), by=approved_by, promoted_at=datetime.now(UTC).isoformat()
    )

    def check(history: list[Champion]) -> None:
        _check_not_a_former_champion(program_name, champion, history)
        _check_same_line(context, champion, judged["champion"], history)

    context.store(ChampionStore).promote(champion, check)
    log.info("Champion of %s is now %s", program_name, champion.solution_version_arn)
    return asdict(champion)


def reject(program_name: str, judged: dict[str, Any], rejected_by: str) -> str:
    """Note that a person, or nobody in time, did not want a version.

    :returns: the sentence for the log.
    """
    context = StageContext.of(program_name)
    candidate = Champion.parse(judged["candidate"])
    reason = f"rejected by {rejected_by}" if rejected_by else "nobody approved it in time"
    context.store(ChampionStore).note(
        replace(candidate, outcome=Outcome.REJECTED, by=rejected_by, reason=reason)
    )
    return (
        f"{candidate.solution_version_arn} does not become champion: {reason}. The champion stays "
        f"{judged['champion']}."
    )


def roll_back(program_name: str, run_id: str, version: str = "", by: str = "") -> dict[str, Any]:
    """Make a former champion the champion again.

    :param version: ARN of the solution version; empty takes the champion before the present one.
    :param by: who asked for it.
    :returns: the champion, for the asset event.
    :raises FatalError: when it never was champion, or Amazon Personalize has it no more.
    """
    context = StageContext.of(program_name)
    history = context.store(ChampionStore).history()
    if history and history[-1].run_id == run_id and history[-1].outcome is Outcome.ROLLED_BACK:
        return asdict(history[-1])  # a retry: this run has done it
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
        outcome=Outcome.ROLLED_BACK,
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
    # Before it came in first: after a rollback, the next one goes further back, not forth again.
    earlier = [entry for entry in history[: arns.index(arns[-1])] if entry.solution_version_arn != arns[-1]]
    if not earlier:
        raise FatalError(f"{arns[-1]} is the first champion of {program_name}; there is none before it.")
    return earlier[-1]


def _refuse(
    context: StageContext, candidate: Champion, former: Champion | None, reason: str, advice: str = ""
) -> NoReturn:
    context.store(ChampionStore).note(replace(candidate, outcome=Outcome.REFUSED, reason=reason))
    raise PromotionRefusedError(
        f"{candidate.solution_version_arn} does not become champion: {reason.rstrip('.')}. The champion stays "
        f"{_arn(former)}. {advice}".rstrip()
    )


def _check_not_a_former_champion(program_name: str, candidate: Champion, history: list[Champion]) -> None:
    """Keep a cleared run from bringing back what was replaced, or rolled back from."""
    arns = [entry.solution_version_arn for entry in history]
    arn = candidate.solution_version_arn
    if arn in arns and arn != arns[-1]:
        raise PromotionRefusedError(
            f"{arn} was champion before, and {arns[-1]} came after it. A run that is cleared does not bring it back; "
            f"{program_name}_rollback does."
        )


def _check_same_line(
    context: StageContext, candidate: Champion, beside: str, history: list[Champion]
) -> None:
    """Keep what was judged, or approved, before a rollback or another FULL version from undoing it.

    An UPDATE of the champion that it was judged beside changes nothing for the person who approved it; the gate
    compares once more.
    """
    now = history[-1] if history else None
    if _arn(now) in {beside, candidate.solution_version_arn}:
        return
    modes = [(entry.solution_version_arn, entry.training_mode) for entry in history]
    renewed = now is not None and now.outcome is Outcome.PROMOTED and now.training_mode == "UPDATE"
    if now and renewed and full_version_of(_arn(now), modes) == full_version_of(beside, modes):
        side = _comparable(context, now, candidate)
        own = Side(candidate.metrics, candidate.baseline_metrics)
        if not (refusals := judge(context.program.gate, own, side, context.program.gate_metric).refusals):
            return
        raise PromotionRefusedError(
            f"{candidate.solution_version_arn} does not become champion: {'; '.join(refusals)}. The champion is "
            f"{_arn(now)}, an update of the one that it was judged beside."
        )
    raise PromotionRefusedError(
        f"{candidate.solution_version_arn} was judged beside {beside}, but the champion of {context.program.name} is "
        f"{_arn(now)} since. The champion stays; clear the task judge to judge it beside that one."
    )


def _comparable(context: StageContext, former: Champion | None, candidate: Champion) -> Side | None:
    """Give the champion's figures, unless it answers another question or is the candidate itself."""
    if former is None or former.solution_version_arn == candidate.solution_version_arn:
        return None
    recipe = names.recipe_of_version(context.program, former.solution_version_arn)
    if recipe and RECIPES[recipe].asks is not context.program.personalize.traits.asks:
        return None
    return Side(former.metrics, former.baseline_metrics)


def _full_version(context: StageContext, champion: Champion | None) -> Side | None:
    """Give the figures of the FULL version that an UPDATE of the champion descends from; None when unknown."""
    if champion is None:
        return None
    history = context.store(ChampionStore).history()
    modes = [(entry.solution_version_arn, entry.training_mode) for entry in history]
    full = full_version_of(champion.solution_version_arn, modes)
    if full == champion.solution_version_arn:
        return None  # compared as the champion
    entry = next((each for each in history if each.solution_version_arn == full), None)
    return Side(entry.metrics, entry.baseline_metrics) if entry else None


def _arn(champion: Champion | None) -> str:
    return champion.solution_version_arn if champion else "none"
