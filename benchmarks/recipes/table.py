"""The table: recipe, metrics, baseline, people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.recipes.runs import Outcome

NDCG = "normalized_discounted_cumulative_gain_at_25"
_COLUMNS = (
    ("program", 24),
    ("recipe", 28),
    ("NDCG@25", 8),
    ("baseline", 8),
    ("ratio", 6),
    ("prec@10", 8),
    ("coverage", 8),
    ("people", 6),
    ("lists", 6),
    ("Braze", 6),
    ("seconds", 7),
)


def header() -> str:
    """Give the first lines."""
    return f"{_row([name for name, _ in _COLUMNS])} other metrics\n{_row(['-' * width for _, width in _COLUMNS])}"


def line(outcome: Outcome) -> str:
    """Give one program's line; what a recipe does not have is a dash."""
    baseline = outcome.baseline or {}
    mine, other = outcome.metrics.get(NDCG), baseline.get(NDCG)
    cells = [
        outcome.program,
        outcome.recipe,
        _figure(mine),
        _figure(other),
        f"{mine / other:.2f}" if mine is not None and other else "-",
        _figure(outcome.metrics.get("precision_at_10")),
        _figure(outcome.metrics.get("coverage")),
        str(outcome.people),
        str(outcome.lists),
        str(outcome.held),
        f"{outcome.seconds:.0f}",
    ]
    shown = {} if mine is not None else {k: v for k, v in outcome.metrics.items() if k != "coverage"}
    rest = " ".join(f"{name}={value:.4f}" for name, value in sorted(shown.items()))
    return f"{_row(cells)} {f'FAILED in {outcome.failure}' if outcome.failure else rest}".rstrip()


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _row(cells: list[str]) -> str:
    padded = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, (_, width)) in enumerate(zip(cells, _COLUMNS, strict=True))
    ]
    return "  ".join(padded)
