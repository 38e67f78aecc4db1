"""Serve the pages in Airflow's API server, to users who may read the program's runs."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as AnyHttpError
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import RedirectResponse, Response

from recsync.export.link import REPORTS
from recsync.notes import MOUNT
from recsync.ui import costs, deliveries, experiments, explanations, exports, models, previews
from recsync.ui.access import Address, address, render

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"  # Airflow's own UI shows the pages in a frame
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
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
for pages in (exports, models, deliveries, experiments, costs, previews, explanations):
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
    values = {"section": "recsync", "detail": str(error.detail), "login": login}
    text = render("refusal.html", HTTPStatus(error.status_code).phrase, **values)
    return HTMLResponse(text, error.status_code)


@app.get("/")
def home(address: Address) -> RedirectResponse:
    """Redirect to the reports."""
    return RedirectResponse(f"{address}{REPORTS}")
