"""What the checks of one export found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from recsync.program.checks import Level

Verdict = Literal["passed", "warned", "stopped"]


@dataclass(frozen=True)
class Finding:
    """A rule that is broken.

    :param rows: how many rows break it; 0 when it is about the whole export.
    :param share: of all rows, 0 to 1.
    :param text: what is wrong and what to do.
    """

    rule: str
    level: Level
    column: str | None
    rows: int
    share: float
    example: str | None
    text: str


@dataclass(frozen=True)
class DriftFinding:
    """A figure beside what it usually is; only what differs too much is one.

    :param usual: median of the earlier exports.
    :param runs: how many those are.
    """

    figure: Literal["volume", "event_mix", "freshness", "new_items"]
    now: float
    usual: float
    runs: int
    level: Level
    text: str


@dataclass(frozen=True)
class Report:
    """Figures and findings of one export; ``to_json`` is what is kept.

    :param rows: how many rows the query returned.
    :param exported: how many of them are exported.
    :param figures: the rest of the JSON document: columns, volume, event types, history and figures.
    """

    head: dict[str, Any]
    rows: int
    exported: int
    quarantined: int
    findings: tuple[Finding, ...]
    drift: tuple[DriftFinding, ...]
    figures: dict[str, Any]

    @property
    def _all(self) -> tuple[Finding | DriftFinding, ...]:
        return (*self.findings, *self.drift)

    @property
    def verdict(self) -> Verdict:
        """What is to become of the export."""
        levels = {finding.level for finding in self._all}
        if "stop" in levels:
            return "stopped"
        return "warned" if "warn" in levels else "passed"

    def stop_message(self) -> str | None:
        """Say everything that stops the export in one text; None when nothing does."""
        texts = [finding.text for finding in self._all if finding.level == "stop"]
        return "\n".join(texts) or None

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document; times are epoch seconds, shares 0 to 1, what is unknown is None."""
        return {
            **self.head,
            "rows": self.rows,
            "exported": self.exported,
            "quarantined": self.quarantined,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            **self.figures,
            "drift": [asdict(finding) for finding in self.drift],
            "quarantine": None,
        }
