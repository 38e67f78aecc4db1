"""Write the pages about solution versions: who is champion, and everything that was judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from recsync.context import StageContext
from recsync.evaluation.champion_store import Champion, ChampionStore, Outcome
from recsync.evaluation.comparison import Comparison
from recsync.evaluation.comparison_store import ComparisonStore
from recsync.evaluation.gate import COVERAGE
from recsync.export.report_page.addresses import MODELS
from recsync.export.report_page.figures import iso_moment
from recsync.export.report_page.html import Html, document, element, join, link, section, table, text
from recsync.program.recipes import NDCG_25
from recsync.ui.reports import NOT_READ

_TITLE = "Models"
_METRICS = (NDCG_25, "mean_reciprocal_rank_at_25", "precision_at_25", COVERAGE)
_FIGURE_HEADS = ("NDCG at 25", "MRR at 25", "Precision at 25", "Coverage")
_HEADS = (
    "Version",
    "Judged",
    "Outcome",
    "Why, by whom",
    *_FIGURE_HEADS,
)
_COMPARED_HEADS = ("Solution", "Verdict", *_FIGURE_HEADS)
# The FULL trainings whose comparisons are shown.
_COMPARISONS = 5


def overview(programs: Iterable[str], address: str) -> str:
    """List the champion of each program."""
    cards = [
        section(name, _of(name, last_only=True), element("p", link(f"{address}{MODELS}/{name}", "History")))
        for name in programs
    ]
    nothing = element("p", "There is no program whose runs you may read.")
    return document(_TITLE, _heading(_TITLE), *(cards or [nothing]))


def history(program: str, address: str) -> str:
    """List everything that was judged, newest first, with its and its baseline's figures; then what was compared."""
    title = f"{_TITLE} of {program}"
    return document(
        title,
        _heading(title),
        section("Judged versions", _of(program)),
        *_compared(program),
        trail=link(f"{address}{MODELS}", _TITLE),
    )


def _of(program: str, *, last_only: bool = False) -> Html:
    try:
        store = StageContext.of(program).store(ChampionStore)
        entries: Sequence[Champion] = (
            list(filter(None, [store.read()])) if last_only else store.judged()[::-1]
        )
    except NOT_READ as error:
        return element("p", element("span", "Not read", class_="warn"), " ", str(error))
    if not entries:
        return element("p", "No version was judged yet.", class_="soft")
    return table(f"Versions of {program}", _HEADS, map(_row, entries), numbers=len(_METRICS))


def _row(entry: Champion) -> tuple[object, ...]:
    good = entry.outcome in {Outcome.PROMOTED, Outcome.ROLLED_BACK}
    outcome = element("span", entry.outcome.value, class_=None if good else "warn")
    by = f"by {entry.by}" if entry.by else ""
    figures = (_figure(entry, metric) for metric in _METRICS)
    version = join("/".join(entry.solution_version_arn.split("/")[-2:]), " ", entry.training_mode)
    return (
        version,
        iso_moment(entry.promoted_at),
        outcome,
        ", ".join(filter(None, (entry.reason, by))),
        *figures,
    )


def _compared(program: str) -> list[Html]:
    try:
        found = StageContext.of(program).store(ComparisonStore).newest(_COMPARISONS)
    except NOT_READ:
        return []  # the section before says why
    return [
        section(
            f"Trained on the same data, {iso_moment(each.at)}",
            table(
                f"Solutions compared by {each.run}", _COMPARED_HEADS, _contenders(each), numbers=len(_METRICS)
            ),
        )
        for each in found
    ]


def _contenders(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for each in comparison.contenders:
        said = "; ".join(each.refusals) or "passes the gate"
        verdict = join(element("strong", "judged"), ", ", said) if each.name == comparison.chosen else said
        figures = (_number((each.metrics or {}).get(metric)) for metric in _METRICS)
        yield join(each.called, " ", element("span", each.recipe, class_="soft")), verdict, *figures
    if floor := comparison.baseline_metrics:
        yield "baseline", "", *(_number(floor.get(metric)) for metric in _METRICS)


def _number(value: float | None) -> Html:
    return element("span", "—", class_="soft") if value is None else text(f"{value:.4f}")


def _figure(entry: Champion, metric: str) -> Html:
    value, floor = entry.metrics.get(metric), (entry.baseline_metrics or {}).get(metric)
    if value is None:
        return _number(value)
    beside = f" ({floor:.4f})" if floor is not None else ""
    return join(
        _number(value), element("span", beside, class_="soft", title="of the baseline") if beside else ""
    )


def _heading(title: str) -> Html:
    return element("h1", title, style="margin-bottom:1rem")
