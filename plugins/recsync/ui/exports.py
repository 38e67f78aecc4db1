"""The pages about exports: the newest reports of each dataset, their trend, and each report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import groupby
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.export.link import REPORTS, report_key
from recsync.export.report_page import page
from recsync.export.report_page.templates import duration, is_number, share
from recsync.export.store import ReportStore
from recsync.ui.access import READERS, Address, Program, Programs, card, data_owner, or_bad_gateway, render
from recsync.ui.charts import Chart, Point, over_time

router = APIRouter(prefix=REPORTS, default_response_class=HTMLResponse)
_TITLE = "Export reports"
_OVERVIEW, _OF_PROGRAM = 6, 144  # two days of hourly intervals of three datasets, for the trend
_LISTED = 24  # of each dataset
_Report = Mapping[str, Any]


@router.get("")
def overview(programs: Programs, address: Address) -> str:
    """List the user's programs, each with its latest reports."""
    cards = [
        {
            "caption": f"Latest export reports of {program}",
            "more": f"{address}{REPORTS}/{program}",
            **_latest(program, _OVERVIEW),
        }
        for program in programs
        if data_owner(program) is None
    ]
    return render("exports.html", _TITLE, address=address, cards=cards)


@router.get("/{program}")
def newest(program: Program, address: Address) -> str:
    """Show a program's newest reports, by dataset, and their trend."""
    title = f"{_TITLE} of {program}"
    latest = _latest(program, _OF_PROGRAM)

    def dataset(entry: tuple[str, _Report]) -> str:
        return str(entry[1].get("dataset"))

    cards = [
        {"title": name, "reports": list(entries)[:_LISTED], "caption": f"{title}: {name}"}
        for name, entries in groupby(sorted(latest.get("reports", ()), key=dataset), dataset)
    ] or [{**latest, "title": "Reports"}]
    return render(
        "exports.html",
        title,
        trail=[(_TITLE, f"{address}{REPORTS}")],
        address=address,
        cards=cards,
        charts=_trends([report for _, report in latest.get("reports", ())]),
    )


@router.get("/{program}/{path:path}")
def report(program: Program, path: str, address: Address) -> str:
    """Show one report."""
    key = report_key(program, path)
    with or_bad_gateway("report"):
        context = StageContext.of(program)
        found = context.store(ReportStore).get(key) if key and context.program.data is None else None
    if found is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"Program {program} has no such export report: no export wrote it yet, or it was removed since.",
        )
    above = (_TITLE, f"{address}{REPORTS}"), (program, f"{address}{REPORTS}/{program}")
    with or_bad_gateway("report"):
        return page(found, trail=above)


def _latest(program: str, limit: int) -> dict[str, Any]:
    """Read a program's newest reports with their S3 keys, newest first."""
    if owner := data_owner(program):
        return {
            "title": program,
            "problem": f"{program} uses the data of {owner}, whose pages show its reports.",
        }

    def read(context: StageContext) -> dict[str, Any]:
        store = context.store(ReportStore)
        keys = store.newest(limit)
        with ThreadPoolExecutor(READERS) as threads:
            found = list(zip(keys, threads.map(store.get, keys), strict=True))
        return {"reports": [(key, report) for key, report in found if report and report.get("end")]}

    return card(program, read)


def _trends(reports: Sequence[_Report]) -> list[Chart]:
    """Draw rows, bad rows and duration over time, a series per dataset; snapshots have series of their own."""

    def points(figure: Callable[[_Report], Any]) -> Iterable[Point]:
        for each in reports[::-1]:
            value, at = figure(each), each.get("end" if each.get("full") else "start")
            if is_number(value) and at:
                kind = " snapshot" if each.get("full") else ""
                yield Point(str(at), f"{each.get('dataset')}{kind}", value)

    def bad(each: _Report) -> float | None:
        rows, quarantined = each.get("rows"), each.get("quarantined")
        return quarantined / rows if is_number(quarantined) and is_number(rows) and rows else None

    charts = (
        over_time("Rows exported", points(lambda each: each.get("exported")), unit="Rows"),
        over_time("Quarantined rows", points(bad), unit="Share of rows", axis=".2~%", write=share),
        over_time(
            "Duration of an export", points(lambda each: each.get("seconds")), unit="Seconds", write=duration
        ),
    )
    return [chart for chart in charts if chart]
