"""Hand the pages to Airflow without loading them.

Airflow imports plugins in every process, every task's too, and FastAPI with Airflow's API costs each of them about two
seconds and 40 MB. Only the API server ever answers a request.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from recsync.export.report_page.addresses import MODELS, MOUNT, REPORTS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class LazyApp:
    """Load the pages when the first request for one comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        # In a thread, so that the API server goes on answering others meanwhile.
        app = await asyncio.to_thread(_app)
        await app(scope, receive, send)


@cache
def _app() -> ASGIApp:
    from recsync.ui.app import app

    return app


# https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/plugins.html
FASTAPI_APP: dict[str, Any] = {"app": LazyApp(), "url_prefix": MOUNT, "name": "recsync"}
# Relative, so that they also lead to the pages where Airflow itself stands below a path.
EXTERNAL_VIEWS: list[dict[str, Any]] = [
    {
        "name": name,  # the navigation bar has room for about ten characters
        "href": f"{MOUNT}{route}".removeprefix("/"),
        "destination": "nav",
        "category": "recsync",
        "url_route": url_route,
    }
    for name, route, url_route in (
        ("Exports", REPORTS, "recsync-export-reports"),
        ("Models", MODELS, "recsync-models"),
    )
]
