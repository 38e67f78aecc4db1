"""A decision for or against a billed step, with the reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """Whether to train.

    :param why: the reason, either way, as a sentence for the person who looks at the run.
    """

    train: bool
    why: str
