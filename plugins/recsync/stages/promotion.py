"""Promotion: a solution version is judged, and what passes is the champion."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from recsync.core.gate import judge
from recsync.errors import PromotionRefusedError
from recsync.stages.context import StageContext
from recsync.stores.champion import Champion

log = logging.getLogger(__name__)


def promote(
    program_name: str,
    run_id: str,
    solution_version_arn: str,
    training_mode: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
    segment_version_arn: str | None = None,
) -> dict[str, Any]:
    """Let the gate judge a version and make it the champion.

    :param segment_version_arn: the version that finds the audience, trained on the same data; None: as before.
    :returns: the champion, for the asset event.
    :raises PromotionRefusedError: when the gate refuses it, with the figures; the former champion stays.
    """
    context = StageContext.of(program_name)
    refusals = judge(context.program.gate, metrics, baseline_metrics, context.program.gate_metric)
    if refusals:
        raise PromotionRefusedError(
            f"{solution_version_arn} does not become champion: {'; '.join(refusals)}. The former champion stays. "
            "Look at the data, or change gate in the program file."
        )
    former = context.champions.read()
    champion = Champion(
        solution_version_arn=solution_version_arn,
        training_mode=training_mode,
        promoted_at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        metrics=metrics,
        baseline_metrics=baseline_metrics,
        segment_version_arn=segment_version_arn or (former.segment_version_arn if former else ""),
    )
    context.champions.promote(champion)
    log.info("Champion of %s is now %s", program_name, solution_version_arn)
    return asdict(champion)


def last_baseline_metrics(program_name: str) -> dict[str, float] | None:
    """Give the baseline's metrics of the last FULL; an UPDATE trains no baseline of its own."""
    champion = StageContext.of(program_name).champions.read()
    return champion.baseline_metrics if champion else None
