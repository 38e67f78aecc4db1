"""The pages about models: the champion, all evaluated versions with their metrics, and the comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.evaluation.gate import COVERAGE
from recsync.evaluation.promotion import short
from recsync.evaluation.store import Champion, ChampionStore, ComparisonStore
from recsync.export.report_page.templates import is_number
from recsync.program.recipes import NDCG_25
from recsync.ui.access import Address, Program, Programs, card, render
from recsync.ui.charts import Chart, Point, over_time
from recsync.ui.mount import MODELS

router = APIRouter(prefix=MODELS, default_response_class=HTMLResponse)
_TITLE = "Models"
_COMPARISONS = 5  # one per FULL training
_VERSIONS = 60
_METRICS = {
    NDCG_25: "NDCG at 25",
    "mean_reciprocal_rank_at_25": "MRR at 25",
    "precision_at_25": "Precision at 25",
    COVERAGE: "Coverage",
}
_CHAMPION, _OTHERS = "champion", "refused or rejected"
_COLOURS = {_CHAMPION: "var(--s1)", _OTHERS: "var(--s5)"}


@router.get("")
def champions(programs: Programs, address: Address) -> str:
    """Show the champion of each of the user's programs."""

    def read(context: StageContext) -> dict[str, Any]:
        champion = context.store(ChampionStore).read()
        versions = [_version(champion, is_champion=True)] if champion else []
        return {**_head(context), "versions": versions}

    cards = [card(program, read) | {"more": f"{address}{MODELS}/{program}"} for program in programs]
    return render("models.html", _TITLE, metrics=_METRICS, cards=cards)


@router.get("/{program}")
def history(program: Program, address: Address) -> str:
    """Show the metrics over time, and list the evaluated versions, newest first, and the comparisons."""

    def read(context: StageContext) -> dict[str, Any]:
        evaluated = context.store(ChampionStore).evaluated()
        last = next((n for n in range(len(evaluated) - 1, -1, -1) if evaluated[n].makes_champion), None)
        versions = [_version(each, is_champion=n == last) for n, each in enumerate(evaluated)]
        head = _head(context)
        return {
            **head,
            "title": "Judged versions",
            "versions": versions[: -_VERSIONS - 1 : -1],
            "charts": _charts(evaluated[-_VERSIONS:], head["baseline"]),
            "comparisons": _comparisons(context),
        }

    found = card(program, read)
    return render(
        "models.html",
        f"{_TITLE} of {program}",
        trail=[(_TITLE, f"{address}{MODELS}")],
        metrics=_METRICS,
        cards=[found | {"title": "Judged versions"}],
        charts=found.get("charts", ()),
        comparisons=found.get("comparisons", ()),
    )


def _head(context: StageContext) -> dict[str, Any]:
    personalize, name = context.program.personalize, context.program.name
    return {
        "title": f"{name}: the model of {personalize.model}" if personalize.model else name,
        "baseline": context.model.program.personalize.baseline_recipe or "",
    }


def _version(version: Champion, *, is_champion: bool) -> dict[str, Any]:
    return {
        "name": short(version.solution_version_arn),
        "training_mode": version.training_mode,
        "at": version.promoted_at,
        "outcome": version.outcome.value,
        "is_good": version.makes_champion,
        "is_champion": is_champion,
        "why": ", ".join(filter(None, (version.reason, version.by and f"by {version.by}"))),
        "metrics": version.metrics,
        "baseline": version.baseline_metrics or {},
    }


def _charts(versions: Sequence[Champion], baseline: str) -> list[Chart]:
    """Draw each metric over time: of the champions, of the others, and of the baseline trained on the same data."""
    floor = f"baseline {baseline}".rstrip()

    def points(metric: str) -> Iterable[Point]:
        for each in versions:
            series = _CHAMPION if each.makes_champion else _OTHERS
            yield Point(each.promoted_at, series, _figure(each.metrics, metric))
            if metric != COVERAGE:  # a popularity baseline covers next to nothing by design
                yield Point(each.promoted_at, floor, _figure(each.baseline_metrics or {}, metric))

    drawn = (
        over_time(
            name, points(metric), unit=name, axis=".3~f", write=_written, when="Judged",
            colours={**_COLOURS, floor: "var(--s6)"}, dots={_OTHERS}, from_zero=False,
        )
        for metric, name in _METRICS.items()
    )  # fmt: skip
    return [chart for chart in drawn if chart]


def _figure(metrics: Mapping[str, Any], metric: str) -> float | None:
    value = metrics.get(metric)
    return value if is_number(value) else None


def _written(value: Any) -> str:
    return f"{value:.4f}" if is_number(value) else "—"


def _comparisons(context: StageContext) -> list[dict[str, Any]]:
    return [
        {
            "at": each.at,
            "run": each.run,
            "solutions": [
                {
                    "name": solution.title,
                    "recipe": solution.recipe,
                    "is_chosen": solution.name == each.chosen,
                    "verdict": "; ".join(solution.refusals) or "passes the gate",
                    "metrics": solution.metrics or {},
                }
                for solution in each.candidates
            ]
            + ([{"name": "baseline", "metrics": each.baseline_metrics}] if each.baseline_metrics else []),
        }
        for each in context.store(ComparisonStore).newest(_COMPARISONS)
    ]
