"""The champion: the solution version that inference uses, with the history of all that was judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_NAME = "champion.json"


class Outcome(StrEnum):
    """What became of a version."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back to"
    REFUSED = "refused"
    REJECTED = "rejected"


_MAKES_CHAMPION = frozenset({Outcome.PROMOTED, Outcome.ROLLED_BACK})


@dataclass(frozen=True)
class Champion:
    """One solution version that was judged; the last one promoted, or rolled back to, is the champion.

    :param promoted_at: when it was judged; ISO 8601.
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
    outcome: Outcome = Outcome.PROMOTED
    by: str = ""
    reason: str = ""

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Champion:
        """Read one entry."""
        return cls(**{**entry, "outcome": Outcome(entry.get("outcome", Outcome.PROMOTED))})


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
        """Read every champion, oldest first; one that was rolled back to is there again."""
        return _champions(self.judged())

    def judged(self) -> list[Champion]:
        """Read everything that was judged, oldest first, what was refused as well."""
        return self._read()[0]

    def promote(self, champion: Champion, check: Callable[[list[Champion]], None] | None = None) -> None:
        """Make a version the champion; promoting the present one with its segment version again changes nothing.

        :param check: raises when the champions so far, oldest first, speak against it. It sees the very history that
            the version is appended to, so that no rollback slips in between.
        """

        def is_there(judged: list[Champion]) -> bool:
            if check:
                check(_champions(judged))
            return _versions(_last_champion(judged)) == _versions(champion)

        self._append(champion, is_there)

    def note(self, entry: Champion) -> None:
        """Keep a version that did not become champion; noting it again for the same run changes nothing."""
        self._append(
            entry,
            lambda history: any(
                (e.solution_version_arn, e.run_id, e.outcome)
                == (entry.solution_version_arn, entry.run_id, entry.outcome)
                for e in history
            ),
        )

    def _append(self, entry: Champion, is_there: Callable[[list[Champion]], bool]) -> None:
        while True:
            history, etag = self._read()
            if is_there(history):
                return
            entries = [asdict(each) for each in [*history, entry]]
            body = json.dumps({"history": entries}, indent=1).encode()
            # Two runs that judge at the same time must not lose each other's entry.
            if self.bucket.put_if(self.keys.state(_NAME), body, etag=etag) is not None:
                return

    def _read(self) -> tuple[list[Champion], str | None]:
        body, etag = self.bucket.get_with_etag(self.keys.state(_NAME))
        return [Champion.parse(entry) for entry in json.loads(body)["history"]] if body else [], etag


def _champions(judged: list[Champion]) -> list[Champion]:
    return [entry for entry in judged if entry.outcome in _MAKES_CHAMPION]


def _last_champion(judged: list[Champion]) -> Champion | None:
    return next(reversed(_champions(judged)), None)


def _versions(champion: Champion | None) -> tuple[str, str] | None:
    return (champion.solution_version_arn, champion.segment_version_arn) if champion else None
