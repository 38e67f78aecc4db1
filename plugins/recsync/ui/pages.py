"""Write the lists of export reports, and the sentence where there is no page."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import groupby
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from recsync.export.report_page.addresses import MOUNT, REPORTS, report_route
from recsync.export.report_page.figures import iso_moment, number
from recsync.export.report_page.html import Html, document, element, join, link, section, table
from recsync.export.report_page.sections import verdict
from recsync.ui.reports import Latest

OVERVIEW_REPORTS = 6
PROGRAM_REPORTS = 72  # a day of hourly intervals of three datasets

_TITLE = "Export reports"
_HEADS = ("Interval", "Verdict", "Rows read", "Exported", "Quarantined")


def address(request: Request) -> str:
    """Give the path the pages are mounted at, behind whatever proxy."""
    return str(request.scope.get("root_path", ""))


def trail(address: str, program: str) -> Html:
    """Lead back to the lists."""
    return join(link(f"{address}{REPORTS}", _TITLE), " / ", link(_of_program(address, program), program))


def overview(programs: Iterable[Latest], address: str) -> str:
    """List programs with their latest reports."""
    cards = [
        section(
            latest.program,
            _table(latest, f"Latest export reports of {latest.program}", address, dataset=True),
            element(
                "p", link(_of_program(address, latest.program), f"All newest reports of {latest.program}")
            ),
        )
        for latest in programs
    ]
    nothing = element("p", "There is no program whose export DAG you may read.")
    return document(_TITLE, _heading(_TITLE), *(cards or [nothing]))


def newest(latest: Latest, address: str) -> str:
    """List a program's newest reports by dataset."""
    title = f"{_TITLE} of {latest.program}"

    def dataset(entry: tuple[str, dict[str, Any]]) -> str:
        return str(entry[1].get("dataset"))

    kinds = [
        Latest(latest.program, list(entries))
        for _, entries in groupby(sorted(latest.reports, key=dataset), dataset)
    ]
    cards = [
        section(name := dataset(kind.reports[0]), _table(kind, f"{title}: {name}", address)) for kind in kinds
    ]
    above = link(f"{address}{REPORTS}", _TITLE)
    return document(
        title, _heading(title), *(cards or [section("Reports", _table(latest, title, address))]), trail=above
    )


def refusal(status: int, detail: str, request: Request) -> str:
    """Say why there is no page; who is not logged in is led to where that is done."""
    title = HTTPStatus(status).phrase
    sentences = [element("p", detail)]
    if status == HTTPStatus.UNAUTHORIZED:
        login = f"{address(request).removesuffix(MOUNT)}/api/v2/auth/login?next={quote(str(request.url), safe='')}"
        sentences = [element("p", link(login, "Log in to Airflow"), ", then open this page again.")]
    return document(title, _heading(title), section(_TITLE, *sentences))


def _heading(title: str) -> Html:
    return element("h1", title, style="margin-bottom:1rem")


def _of_program(address: str, program: str) -> str:
    return f"{address}{REPORTS}/{program}"


def _table(latest: Latest, caption: str, address: str, *, dataset: bool = False) -> Html:
    if latest.problem:
        return element("p", element("span", "Not read", class_="warn"), " ", latest.problem)
    if not latest.reports:
        return element("p", "No export has written a report yet.", class_="soft")
    heads = ("Dataset", *_HEADS) if dataset else _HEADS
    return table(
        caption, heads, [_row(key, report, address, dataset) for key, report in latest.reports], numbers=3
    )


def _row(key: str, report: dict[str, Any], address: str, dataset: bool) -> tuple[Any, ...]:
    span = (
        join("full, until ", iso_moment(report.get("end")))
        if report.get("full")
        else iso_moment(report.get("start"))
    )
    page = f"{address}{report_route(key)}"
    figures = (verdict(report), *(number(report.get(name)) for name in ("rows", "exported", "quarantined")))
    if dataset:
        return link(page, report.get("dataset")), span, *figures
    return link(page, span), *figures
