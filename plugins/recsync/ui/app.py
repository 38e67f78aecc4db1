"""Serve the pages about exports and models inside Airflow's API server, to who may read the program's export DAG."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as AnyHttpError
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import RedirectResponse, Response

from recsync.export.report_page import page
from recsync.export.report_page.addresses import MODELS, REPORTS, report_key
from recsync.ui import models, pages, reports

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"  # Airflow's own UI shows the pages in a frame
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
}


def may_read(program: str, request: Request, user: GetUserDep) -> None:
    """Let pass who may read what runs of the program's export DAG returned; a report shows values of rows.

    :raises HTTPException: 403 for anybody else.
    """
    requires_access_dag("GET", DagAccessEntity.XCOM, f"{program}_export")(request, user)


def _readable(program: str, request: Request, user: GetUserDep) -> bool:
    try:
        may_read(program, request, user)
    except HTTPException:
        return False
    return True


app = FastAPI(
    title="recsync",
    dependencies=[Depends(get_user)],
    default_response_class=HTMLResponse,
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)
# Airflow's dependencies look for it on the app that runs them, and a mounted app is another one.
app.state.auth_manager = get_auth_manager()

Address = Annotated[str, Depends(pages.address)]


@app.middleware("http")
async def private(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Keep the pages from loading, framing or being kept by anything else."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


@app.exception_handler(AnyHttpError)
def refusal(request: Request, error: AnyHttpError) -> HTMLResponse:
    """Say in a sentence why there is no page."""
    return HTMLResponse(pages.refusal(error.status_code, str(error.detail), request), error.status_code)


@app.get("/")
def home(address: Address) -> RedirectResponse:
    """Lead to the reports."""
    return RedirectResponse(f"{address}{REPORTS}")


@app.get(REPORTS)
def programs(request: Request, user: GetUserDep, address: Address) -> str:
    """List the programs whose export DAG the user may read, each with its latest reports."""
    names = [name for name in reports.programs() if _readable(name, request, user)]
    return pages.overview([reports.latest(name, pages.OVERVIEW_REPORTS) for name in names], address)


@app.get(f"{REPORTS}/{{program}}", dependencies=[Depends(may_read)])
def newest(program: str, address: Address) -> str:
    """List a program's newest reports, by dataset."""
    _known(program)
    return pages.newest(reports.latest(program, pages.PROGRAM_REPORTS), address)


@app.get(f"{REPORTS}/{{program}}/{{path:path}}", dependencies=[Depends(may_read)])
def report(program: str, path: str, address: Address) -> str:
    """Show one report."""
    _known(program)
    key = report_key(program, path)
    found = reports.report(program, key) if key else None
    if found is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"Program {program} has no such export report: no export wrote it yet, or it was removed since.",
        )
    return page(found, trail=pages.trail(address, program))


@app.get(MODELS)
def champions(request: Request, user: GetUserDep, address: Address) -> str:
    """Show the champion of each program whose export DAG the user may read."""
    return models.overview([name for name in reports.programs() if _readable(name, request, user)], address)


@app.get(f"{MODELS}/{{program}}", dependencies=[Depends(may_read)])
def judged(program: str, address: Address) -> str:
    """Show every version of a program that was judged."""
    _known(program)
    return models.history(program, address)


def _known(program: str) -> None:
    if program not in reports.programs():
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no program {program}.")
