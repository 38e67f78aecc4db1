"""The champion: the solution version that inference uses, with the history of promotions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recsync.core.keys import Keys
from recsync.stores.bucket import Bucket

_NAME = "champion.json"


@dataclass(frozen=True)
class Champion:
    """One promoted solution version.

    :param metrics: of ``GetSolutionMetrics``.
    :param baseline_metrics: of the baseline trained on the same data; None when there is none.
    :param segment_version_arn: the version that finds the audience; empty when the program has no ``audience.segment``.
    """

    solution_version_arn: str
    training_mode: str
    promoted_at: str
    run_id: str
    metrics: dict[str, float]
    baseline_metrics: dict[str, float] | None = None
    segment_version_arn: str = ""


@dataclass(frozen=True)
class ChampionStore:
    """The champion of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> Champion | None:
        """Read the champion; None before the first promotion."""
        history = self.history()
        return history[-1] if history else None

    def history(self) -> list[Champion]:
        """Read every promotion, oldest first."""
        document: dict[str, Any] = self.bucket.get_json(self.keys.state(_NAME)) or {"history": []}
        return [Champion(**entry) for entry in document["history"]]

    def promote(self, champion: Champion) -> None:
        """Make a version the champion; promoting the present one with its segment version again changes nothing."""
        history = self.history()
        if history and _versions(history[-1]) == _versions(champion):
            return
        entries = [asdict(entry) for entry in [*history, champion]]
        self.bucket.put_json(self.keys.state(_NAME), {"history": entries})


def _versions(champion: Champion) -> tuple[str, str]:
    return champion.solution_version_arn, champion.segment_version_arn
