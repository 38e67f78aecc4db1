"""The floor: the same server with a constant body. ``python -m benchmarks.recommendations.floor PORT BYTES``."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main(port: int, size: int) -> None:
    """Serve until stopped."""
    body = b"x" * size

    async def constant(request: Request) -> Response:  # ruff: ignore[unused-async] - a plain one runs in a thread
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/recommendations", constant)])
    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning",
        server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
