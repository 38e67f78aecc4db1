"""Mount the pages in Airflow's API server, loading them with the first request.

Airflow imports plugins in every process, also in each task's; FastAPI with Airflow's API would cost each of them about
2 seconds and 40 MB.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from recsync.export.link import REPORTS
from recsync.notes import MOUNT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

EXPLAIN, MODELS, DELIVERIES, PREVIEW = "/explain", "/models", "/deliveries", "/preview"
COSTS, EXPERIMENTS = "/costs", "/experiments"


class LazyApp:
    """Load the pages with the first request."""

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
# Relative, because Airflow itself may be served below a path.
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
        ("Deliveries", DELIVERIES, "recsync-deliveries"),
        ("Experiments", EXPERIMENTS, "recsync-experiments"),
        ("Costs", COSTS, "recsync-costs"),
        ("Preview", PREVIEW, "recsync-preview"),
        ("Why", EXPLAIN, "recsync-explain"),
    )
]
