"""From which FULL version a solution version descends."""

from __future__ import annotations

from collections.abc import Sequence


def full_version_of(solution_version_arn: str, history: Sequence[tuple[str, str]]) -> str | None:
    """Find the FULL version that an UPDATE renewed, or that a version is itself.

    :param history: ARN and training mode of each champion, oldest first; a rollback brings a former one again.
    :returns: None when the history does not tell.
    """
    solution = solution_version_arn.rsplit("/", 1)[0]
    arns = [arn for arn, _ in history]
    if solution_version_arn not in arns:
        return None
    # Where it came in first: later entries of it are rollbacks, with others in between.
    for arn, mode in reversed(history[: arns.index(solution_version_arn) + 1]):
        if mode == "FULL" and arn.rsplit("/", 1)[0] == solution:
            return arn
    return None
