"""What searches for hyperparameters found, and which of it is pinned into later trainings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_NAME = "tuning.json"


class Found(StrEnum):
    """What became of one search."""

    PINNED = "pinned"
    NOT_KEPT = "not kept"
    RESET = "reset"


@dataclass(frozen=True)
class Tuned:
    """One search, or a reset that ends what former ones pinned.

    :param at: ISO 8601.
    :param recipe: the recipe that was tuned; what it found is of no use to others.
    :param hyperparameters: the winners.
    :param metrics: of ``GetSolutionMetrics``, of the version trained with them.
    :param reason: the figures for or against it.
    """

    outcome: Found
    at: str
    run_id: str
    recipe: str = ""
    solution_version_arn: str = ""
    hyperparameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Tuned:
        """Read one entry."""
        return cls(**{**entry, "outcome": Found(entry["outcome"])})


@dataclass(frozen=True)
class TuningStore:
    """The searches of one program."""

    bucket: Bucket
    keys: Keys

    def history(self) -> list[Tuned]:
        """Read everything, oldest first."""
        return self._read()[0]

    def pinned(self, recipe: str) -> Tuned | None:
        """Read what is pinned for a recipe; None before the first search, after a reset, or for another recipe."""
        for entry in reversed(self.history()):
            if entry.outcome is Found.RESET:
                return None
            if entry.outcome is Found.PINNED and entry.recipe == recipe:
                return entry
        return None

    def note(self, entry: Tuned) -> None:
        """Keep an entry; noting the same version, or the same run's reset, again changes nothing."""
        while True:
            history, etag = self._read()
            if any(_same(entry, each) for each in history):
                return
            body = json.dumps({"history": [asdict(each) for each in [*history, entry]]}, indent=1).encode()
            # Two runs that end at the same time must not lose each other's entry.
            if self.bucket.put_if(self.keys.state(_NAME), body, etag=etag) is not None:
                return

    def _read(self) -> tuple[list[Tuned], str | None]:
        body, etag = self.bucket.get_with_etag(self.keys.state(_NAME))
        return [Tuned.parse(entry) for entry in json.loads(body)["history"]] if body else [], etag


def _same(entry: Tuned, other: Tuned) -> bool:
    return (entry.run_id, entry.outcome, entry.solution_version_arn) == (
        other.run_id,
        other.outcome,
        other.solution_version_arn,
    )
