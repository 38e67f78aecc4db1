"""How many people of an audience, and items of a catalog, no export knows: other ids, or new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import pyarrow as pa

from recsync.export.checks.id_set import among
from recsync.program.checks import Checks, Level
from recsync.storage.hashes import Hashes, string_hashes

What = Literal["audience", "catalog"]
_WORDS = {"audience": ("people", "user_id"), "catalog": ("items", "item_id")}


@dataclass(frozen=True)
class UnknownIds:
    """The ids of an audience or a catalog that no export holds.

    :param usual: median share of the runs before; None when there were too few.
    """

    what: What
    sql: str
    ids: int
    unknown: int
    usual: float | None = None

    @property
    def share(self) -> float:
        """Share of the ids, 0 to 1."""
        return self.unknown / self.ids if self.ids else 0.0

    @classmethod
    def of(
        cls, what: What, sql: str, columns: Iterable[pa.Array], known: Hashes, usual: float | None
    ) -> UnknownIds:
        """Count the ids that are not among sorted hashes."""
        ids = unknown = 0
        for column in columns:
            ids += len(column)
            unknown += int((~among(known, string_hashes(column))).sum())
        return cls(what, sql, ids, unknown, usual)

    def level(self, checks: Checks) -> Level:
        """Judge the share."""
        limits = checks.limits(f"unknown_{self.what}")
        return limits.level(self.share, few=self.unknown <= checks.tolerated_rows) if limits else "note"

    def drift_level(self, checks: Checks) -> Level:
        """Judge the share beside the usual one."""
        if self.usual is None or self.unknown <= checks.tolerated_rows:
            return "note"
        limits, above = checks.drift.unknown_ids, self.share - self.usual
        if limits.stop is not None and above > limits.stop:
            return "stop"
        return "warn" if limits.warn is not None and above > limits.warn else "note"

    @property
    def text(self) -> str:
        """Say how many there are, and what to look at."""
        people, column = _WORDS[self.what]
        usual = "" if self.usual is None else f", where {self.usual:.1%} are usual"
        return (
            f"{self.sql} returns {self.ids} {people}, {self.unknown} of them ({self.share:.1%}{usual}) in no export. "
            f"Compare its {column} with that of the exported datasets: the texts must be the same."
        )

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {**asdict(self), "share": self.share}


def usual_share(shares: Sequence[float], least: int) -> float | None:
    """Return the median share of earlier runs; None when there are fewer than ``least``."""
    return float(median(shares)) if len(shares) >= least else None
