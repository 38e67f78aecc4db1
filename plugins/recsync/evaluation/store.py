"""What evaluation keeps on S3: evaluated versions, the champions among them, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar

from recsync.storage.bucket import Bucket
from recsync.storage.document import Document, append_once, history
from recsync.storage.keys import Keys

_NAME = "champion.json"


class PromotionOutcome(StrEnum):
    """The result of one evaluation."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back to"
    REFUSED = "refused"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Champion:
    """One evaluated solution version; the last one promoted, or rolled back to, is the champion.

    :param promoted_at: time of the evaluation, ISO 8601.
    :param metrics: of ``GetSolutionMetrics``.
    :param baseline_metrics: of the baseline trained on the same data; None when there is none.
    :param segment_version_arn: the version that finds the audience; empty when the program has no ``audience.segment``.
    :param by: the person who decided, where one did.
    :param reason: the figures against it, or why it was rolled back to.
    """

    solution_version_arn: str
    training_mode: str
    promoted_at: str
    run_id: str
    metrics: dict[str, float]
    baseline_metrics: dict[str, float] | None = None
    segment_version_arn: str = ""
    outcome: PromotionOutcome = PromotionOutcome.PROMOTED
    by: str = ""
    reason: str = ""

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Champion:
        """Read one entry."""
        return cls(**{**entry, "outcome": PromotionOutcome(entry.get("outcome", PromotionOutcome.PROMOTED))})

    @property
    def makes_champion(self) -> bool:
        """Whether the version became champion in this evaluation."""
        return self.outcome in {PromotionOutcome.PROMOTED, PromotionOutcome.ROLLED_BACK}


@dataclass(frozen=True)
class ChampionStore:
    """The champions of one program."""

    bucket: Bucket
    keys: Keys
    shared: ClassVar[str] = "model"

    def read(self) -> Champion | None:
        """Read the champion; None before the first promotion."""
        return next(reversed(self.history()), None)

    def history(self) -> list[Champion]:
        """Read every champion, oldest first; a rollback repeats an earlier one."""
        return _champions(self.evaluated())

    def evaluated(self) -> list[Champion]:
        """Read every evaluated version, oldest first, with those that were refused or rejected."""
        return self._document.get()

    def promote(self, champion: Champion, check: Callable[[list[Champion]], None] | None = None) -> None:
        """Make a version the champion; promoting the present one with its segment version again changes nothing.

        :param check: raises to prevent it. It gets the champions so far, oldest first, as they are when the version is
            appended, so that no rollback slips in between.
        """

        def change(evaluated: list[Champion]) -> list[Champion]:
            history = _champions(evaluated)
            if check:
                check(history)
            if history and _versions(history[-1]) == _versions(champion):
                return evaluated
            return [*evaluated, champion]

        self._document.update(change)

    def record(self, entry: Champion) -> None:
        """Record a version that did not become champion, once per run."""
        append_once(
            self._document, entry, lambda each: (each.solution_version_arn, each.run_id, each.outcome)
        )

    @property
    def _document(self) -> Document[list[Champion]]:
        key, remedy = self.keys.state(_NAME), "restore an earlier version of it"
        return history(self.bucket, key, Champion.parse, remedy=remedy)


def _champions(evaluated: Sequence[Champion]) -> list[Champion]:
    return [entry for entry in evaluated if entry.makes_champion]


def _versions(champion: Champion) -> tuple[str, str]:
    return champion.solution_version_arn, champion.segment_version_arn


@dataclass(frozen=True)
class Candidate:
    """One solution and its trained version.

    :param name: of the challenger; empty for the program's own solution.
    :param solution_version_arn: empty when its training failed.
    :param metrics: of ``GetSolutionMetrics``; None when there are none.
    :param settings: settings that differ from the recipe's own.
    :param refusals: the gate's reasons against it; empty when it passes.
    """

    name: str
    recipe: str
    solution_version_arn: str
    metrics: dict[str, float] | None
    settings: dict[str, Any]
    refusals: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name or "own"


@dataclass(frozen=True)
class Comparison:
    """The solutions of one FULL training, side by side.

    :param run: key of the run.
    :param at: ISO 8601.
    :param metric: the gate's metric; None when it has none.
    :param chosen: name of the candidate that is evaluated.
    """

    run: str
    at: str
    metric: str | None
    chosen: str
    candidates: tuple[Candidate, ...]
    baseline_metrics: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        document = asdict(self)
        document["contenders"] = document.pop("candidates")
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Comparison:
        """Read it back."""
        fields = {key: value for key, value in document.items() if key != "contenders"}
        candidates = (
            Candidate(**{**each, "refusals": tuple(each["refusals"])}) for each in document["contenders"]
        )
        return cls(**fields, candidates=tuple(candidates))


@dataclass(frozen=True)
class ComparisonStore:
    """The comparisons of one program."""

    bucket: Bucket
    keys: Keys

    def write(self, comparison: Comparison) -> None:
        """Write one; a retry of its run replaces it."""
        self.bucket.put_json(self.keys.comparison(comparison.run), comparison.to_json())

    def newest(self, count: int) -> list[Comparison]:
        """Read the last ones, newest first: run keys begin with their time."""
        keys = sorted(self.bucket.keys(self.keys.all_comparisons), reverse=True)[:count]
        documents = (self.bucket.get_json(key) for key in keys)
        return [Comparison.from_json(document) for document in documents if document]
