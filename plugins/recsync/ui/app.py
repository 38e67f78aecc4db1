"""Serve the pages about exports and models in Airflow's API server, to users who may read the program's export DAG."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import groupby
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as AnyHttpError
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import RedirectResponse, Response

from recsync.context import StageContext
from recsync.evaluation.gate import COVERAGE
from recsync.evaluation.store import Champion, ChampionStore, ComparisonStore, PromotionOutcome
from recsync.export.link import MOUNT, REPORTS, report_key
from recsync.export.report_page import page
from recsync.export.store import ReportStore
from recsync.program.recipes import NDCG_25
from recsync.ui import deliveries, explanations, previews
from recsync.ui.access import NOT_READ, Address, Program, Programs, address, data_owner, render
from recsync.ui.mount import MODELS

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"  # Airflow's own UI shows the pages in a frame
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
}
_OVERVIEW_REPORTS = 6
_PROGRAM_REPORTS = 72  # a day of hourly intervals of three datasets
_COMPARISONS = 5  # one per FULL training
_THREADS = 8
_REPORTS_TITLE, _MODELS_TITLE = "Export reports", "Models"
_METRICS = {
    NDCG_25: "NDCG at 25",
    "mean_reciprocal_rank_at_25": "MRR at 25",
    "precision_at_25": "Precision at 25",
    COVERAGE: "Coverage",
}

app = FastAPI(
    title="recsync",
    dependencies=[Depends(get_user)],
    default_response_class=HTMLResponse,
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)
# Airflow's dependencies read it from the app that runs them; a mounted app is another one.
app.state.auth_manager = get_auth_manager()
for pages in (deliveries, previews, explanations):
    app.include_router(pages.router)


@app.middleware("http")
async def private(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Set the headers against loading, framing and caching."""
    response = await call_next(request)
    response.headers.update({**HEADERS, **getattr(request.state, "headers", {})})
    return response


@app.exception_handler(AnyHttpError)
def refusal(request: Request, error: AnyHttpError) -> HTMLResponse:
    """Explain why there is no page; link to the login for a user who is not logged in."""
    login = None
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        login = f"{address(request).removesuffix(MOUNT)}/api/v2/auth/login?next={quote(str(request.url), safe='')}"
    values = {"section": _REPORTS_TITLE, "detail": str(error.detail), "login": login}
    text = render("refusal.html", HTTPStatus(error.status_code).phrase, **values)
    return HTMLResponse(text, error.status_code)


@app.get("/")
def home(address: Address) -> RedirectResponse:
    """Redirect to the reports."""
    return RedirectResponse(f"{address}{REPORTS}")


@app.get(REPORTS)
def overview(programs: Programs, address: Address) -> str:
    """List the user's programs, each with its latest reports."""
    cards = [
        {
            "title": program,
            "caption": f"Latest export reports of {program}",
            "more": f"{address}{REPORTS}/{program}",
            **_latest(program, _OVERVIEW_REPORTS),
        }
        for program in programs
        if data_owner(program) is None
    ]
    return render("reports.html", _REPORTS_TITLE, address=address, cards=cards)


@app.get(f"{REPORTS}/{{program}}")
def newest(program: Program, address: Address) -> str:
    """List a program's newest reports, by dataset."""
    title = f"{_REPORTS_TITLE} of {program}"

    def dataset(entry: tuple[str, dict[str, Any]]) -> str:
        return str(entry[1].get("dataset"))

    latest = _latest(program, _PROGRAM_REPORTS)
    cards = [
        {"title": name, "reports": list(entries), "caption": f"{title}: {name}"}
        for name, entries in groupby(sorted(latest.get("reports", ()), key=dataset), dataset)
    ] or [{"title": "Reports", **latest}]
    above = [(_REPORTS_TITLE, f"{address}{REPORTS}")]
    return render("reports.html", title, trail=above, address=address, cards=cards)


@app.get(f"{REPORTS}/{{program}}/{{path:path}}")
def report(program: Program, path: str, address: Address) -> str:
    """Show one report."""
    key = report_key(program, path)
    try:
        context = StageContext.of(program)
        found = context.store(ReportStore).get(key) if key and context.program.data is None else None
    except NOT_READ as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, f"The report could not be read. {error}") from error
    if found is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"Program {program} has no such export report: no export wrote it yet, or it was removed since.",
        )
    above = (_REPORTS_TITLE, f"{address}{REPORTS}"), (program, f"{address}{REPORTS}/{program}")
    return page(found, trail=above)


@app.get(MODELS)
def champions(programs: Programs, address: Address) -> str:
    """Show the champion of each of the user's programs."""
    cards = [
        _judged(program, last_only=True) | {"more": f"{address}{MODELS}/{program}"} for program in programs
    ]
    return render("models.html", _MODELS_TITLE, metrics=_METRICS, cards=cards)


@app.get(f"{MODELS}/{{program}}")
def history(program: Program, address: Address) -> str:
    """List all evaluated versions, newest first, with their and the baseline's metrics; then the comparisons."""
    return render(
        "models.html",
        f"{_MODELS_TITLE} of {program}",
        trail=[(_MODELS_TITLE, f"{address}{MODELS}")],
        metrics=_METRICS,
        cards=[_judged(program) | {"title": "Judged versions"}],
        comparisons=_comparisons(program),
    )


def _latest(program: str, limit: int) -> dict[str, Any]:
    """Read a program's newest reports with their S3 keys, newest first; a problem does not hide other programs."""
    if owner := data_owner(program):
        return {"problem": f"{program} uses the data of {owner}, whose pages show its reports."}
    try:
        store = StageContext.of(program).store(ReportStore)
        keys = store.newest(limit)
        # One by one, a page of reports takes seconds.
        with ThreadPoolExecutor(_THREADS) as threads:
            found = zip(keys, threads.map(store.get, keys), strict=True)
            return {"reports": [(key, report) for key, report in found if report]}
    except NOT_READ as error:
        return {"problem": str(error)}


def _judged(program: str, *, last_only: bool = False) -> dict[str, Any]:
    card: dict[str, Any] = {"title": program, "program": program}
    try:
        context = StageContext.of(program)
        if model := context.program.personalize.model:
            card["title"] = f"{program}: the model of {model}"
        store = context.store(ChampionStore)
        versions = [store.read()] if last_only else store.evaluated()[::-1]
    except NOT_READ as error:
        return card | {"problem": str(error)}
    return card | {"versions": [_version(each) for each in versions if each]}


def _version(version: Champion) -> dict[str, Any]:
    return {
        "name": "/".join(version.solution_version_arn.split("/")[-2:]),
        "training_mode": version.training_mode,
        "at": version.promoted_at,
        "outcome": version.outcome.value,
        "is_good": version.outcome in {PromotionOutcome.PROMOTED, PromotionOutcome.ROLLED_BACK},
        "why": ", ".join(filter(None, (version.reason, version.by and f"by {version.by}"))),
        "metrics": version.metrics,
        "baseline": version.baseline_metrics or {},
    }


def _comparisons(program: str) -> list[dict[str, Any]]:
    try:
        found = StageContext.of(program).store(ComparisonStore).newest(_COMPARISONS)
    except NOT_READ:
        return []  # the card of the versions says why
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
        for each in found
    ]
