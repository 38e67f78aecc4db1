"""The program file: the search for hyperparameters."""

from __future__ import annotations

from pydantic import Field

from recsync.program.section import Strict

# https://docs.aws.amazon.com/personalize/latest/dg/API_HPOResourceConfig.html
_MOST_JOBS, _MOST_AT_ONCE = 40, 10


class Tuning(Strict):
    """Hyperparameter optimisation (``performHPO``), now and then, in a DAG of its own.

    What it finds is pinned into later FULL trainings until the next tuning.

    :param max_training_jobs: sets of hyperparameters that are tried; each is billed as a training.
    :param max_parallel_training_jobs: of those, trained at a time.
    :param ranges: tunable hyperparameters to search: lowest and highest of a number, or the words to try. Those that
        are not named keep their value. Empty: all that the recipe can tune and ``hyperparameters`` does not fix, over
        their whole range.
    :param min_ratio_to_champion: what is found is pinned only when its figure is at least so many times the champion's.
    """

    max_training_jobs: int = Field(default=10, ge=1, le=_MOST_JOBS)
    max_parallel_training_jobs: int = Field(default=5, ge=1, le=_MOST_AT_ONCE)
    ranges: dict[str, tuple[bool | int | float | str, ...]] = Field(default_factory=dict)
    min_ratio_to_champion: float = Field(default=1.0, ge=0)
