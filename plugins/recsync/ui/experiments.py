"""The pages about experiments: arms, their lift over time, power, guardrails, and the changes of shares.

They show the reports of the lift runs and the layer's document: counts, and no person's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.experiments.layer import Change
from recsync.experiments.report import METRICS, VALUE_PER_USER, ComparedArm, Guardrail, LiftReport
from recsync.experiments.store import LayerStore, LiftStore
from recsync.export.report_page.templates import is_number, share
from recsync.ui.access import READERS, Address, Program, Programs, card, render
from recsync.ui.charts import Chart, Point, Span, intervals, over_time
from recsync.ui.mount import EXPERIMENTS

router = APIRouter(prefix=EXPERIMENTS, default_response_class=HTMLResponse)
_TITLE = "Experiments"
_Bounds = tuple[float | None, float | None]
_REPORTS = 60  # of daily runs
_WHAT = {
    "started": "started",
    "shares": "other shares",
    "gets": "arms get something else",
    "program": "taken over by another program",
    "ended": "ended",
}
_CHARTS = 12  # of lift; 8 arms have 21


@router.get("")
def overview(programs: Programs, address: Address) -> str:
    """Show the verdict on the experiment of each of the user's programs."""

    def read(context: StageContext) -> dict[str, Any]:
        report = context.store(LiftStore).latest(_name(context))
        return {**_head(context), "report": report, "compared": _compared(report) if report else ()}

    cards = [card(program, read) | {"more": f"{address}{EXPERIMENTS}/{program}"} for program in programs]
    return render("experiments.html", _TITLE, cards=cards, metrics=METRICS)


@router.get("/{program}")
def experiment(program: Program, address: Address) -> str:
    """Show the program's experiment; without one in its file, its last one."""

    def read(context: StageContext) -> dict[str, Any]:
        store, name = context.store(LiftStore), _name(context)
        with ThreadPoolExecutor(READERS) as threads:
            found = [each for each in threads.map(store.read, store.runs()[-_REPORTS:]) if each]
        name = name or (found[-1].experiment if found else "")
        reports = [each for each in found if each.experiment == name]
        newest = reports[-1] if reports else None
        return {
            **_head(context),
            "report": newest,
            "compared": _compared(newest) if newest else (),
            "guardrails": [_guardrail(each) for each in newest.guardrails] if newest else (),
            "drawn": _charts(reports),
            "changes": _changes(context, name, newest),
        }

    found = card(program, read)
    return render(
        "experiments.html",
        f"{_TITLE} of {program}",
        trail=[(_TITLE, f"{address}{EXPERIMENTS}")],
        cards=[found],
        metrics=METRICS,
        whole=True,
        drawn=found.get("drawn", {}),
    )


def _name(context: StageContext) -> str:
    """Return the name of the experiment of the program file; empty without one."""
    return context.program.experiment.name if context.program.experiment else ""


def _head(context: StageContext) -> dict[str, Any]:
    name = _name(context)
    if not name:
        return {"empty": "The program file has no experiment.", "is_over": True}
    return {
        "empty": f"Experiment {name} has no lift report yet: the first run of {context.program.name}_lift makes it."
    }


def _compared(report: LiftReport) -> list[dict[str, Any]]:
    return [
        {
            "arm": each.arm,
            "label": METRICS.get(each.metric, each.label),
            "each": each,
            "relative": _difference(each),
            "between": _either(
                (each.always_relative_low, each.always_relative_high), (each.always_low, each.always_high)
            ),
            "fixed": _either((each.relative_low, each.relative_high), (each.low, each.high)),
            "verdict": _verdict(each),
        }
        for each in report.comparisons
    ]


def _verdict(each: ComparedArm) -> tuple[str, str]:
    """Return the CSS class and the words; only the always-valid interval decides."""
    if each.is_better:
        return "passed", "better"
    return ("stop", "worse") if each.is_worse else ("note", "not\u00a0seen\u00a0yet")


def _guardrail(each: Guardrail) -> dict[str, Any]:
    return {
        "each": each,
        "relative": _signed(each.relative),
        "between": _between(each.low, each.high),
        "verdict": ("stop", "broken") if each.broken else ("passed", "holds"),
    }


def _difference(each: ComparedArm) -> str:
    """Write the difference; nothing where too few users converted for an interval, as it would only be chance."""
    if each.low is None:
        return "—"
    return _signed(each.relative) if each.relative is not None else f"{each.difference:+.3g}"


def _either(relative: _Bounds, absolute: _Bounds) -> str:
    """Write an interval relative to the control's mean; in the metric's unit if that mean is 0."""
    low, high = absolute
    if None in relative and low is not None and high is not None:
        return f"{low:+.3g} to {high:+.3g}"
    return _between(*relative)


def _charts(reports: Sequence[LiftReport]) -> dict[str, list[Chart]]:
    """Draw the lift of each metric and arm over the runs, and the people of each arm.

    :returns: ``charts``: of the value per user, and of the people; ``more``: of the other metrics.
    """
    if not reports:
        return {}
    compared = reports[-1].comparisons
    main = [_lift(reports, each) for each in compared if each.metric == VALUE_PER_USER]
    others = [_lift(reports, each) for each in compared[:_CHARTS] if each.metric != VALUE_PER_USER]
    people = [Point(each.at, arm.arm, arm.users) for each in reports for arm in each.arms]
    main.append(over_time("People in each arm", people, unit="People", when="Lift run"))
    return {name: [each for each in drawn if each] for name, drawn in (("charts", main), ("more", others))}


def _lift(reports: Sequence[LiftReport], newest: ComparedArm) -> Chart | None:
    def spans() -> Iterator[Span]:
        for report in reports:
            each = report.compared(newest.arm, newest.metric, newest.control)
            if each and each.low is not None:
                always = each.always_relative_low, each.always_relative_high
                yield Span(report.at, each.relative, each.relative_low, each.relative_high, *always)

    label = METRICS.get(newest.metric, newest.label)
    return intervals(
        f"{label.capitalize()}: {newest.arm} beside {newest.control}",
        list(spans()),
        unit="Relative difference",
        write=_signed,
        inner="95 % interval of one look",
        outer="always-valid interval",
    )


def _signed(value: Any) -> str:
    """Write a relative difference, such as ``+5.1%``."""
    return f"{100 * value:+.1f}%" if is_number(value) else "—"


def _between(low: float | None, high: float | None) -> str:
    return "—" if low is None or high is None else f"{_signed(low)} to {_signed(high)}"


def _changes(context: StageContext, name: str, report: LiftReport | None) -> list[dict[str, Any]]:
    """Read the experiment's changes from the layer document, newest first."""
    planned = context.program.experiment
    layer = planned.layer_name if planned else report.layer if report else ""
    if not layer:
        return []
    found = context.store(LayerStore).document(layer).get().changes
    return [
        {
            "at": each.at,
            "program": each.program,
            "moved": each.moved,
            "what": _WHAT[each.what],
            "to": _settings(each),
        }
        for each in found[::-1]
        if each.experiment == name
    ]


def _settings(change: Change) -> str:
    """Write the values of a change, by arm or of the program, before and after."""
    names = dict.fromkeys([*change.before, *change.after])
    pairs = ((name, *(_value(each.get(name)) for each in (change.before, change.after))) for name in names)
    return ", ".join(f"{name} {old} → {new}" if old != new else f"{name} {new}" for name, old, new in pairs)


def _value(value: Any) -> str:
    return share(value) if is_number(value) else "none" if value is None else str(value)
