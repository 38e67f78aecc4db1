"""Serve the shop of the sample warehouse: `python -m shop_local --port N`, with the warehouse in WAREHOUSE_DSN."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from shop_local.catalog import Catalog
from shop_local.server import Server, Shop


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="shop_local", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(arguments)
    # In the environment: an argument would be visible in the process list.
    dsn = os.environ.get("WAREHOUSE_DSN")
    if not dsn:
        parser.error("which warehouse? Set WAREHOUSE_DSN to its libpq address, postgresql://…")
    server = Server((options.host, options.port), Shop(Catalog(dsn)))
    for stop in (signal.SIGINT, signal.SIGTERM):
        # shutdown() waits for the loop of this thread, so another one has to call it.
        signal.signal(stop, lambda *_: threading.Thread(target=server.shutdown).start())
    host, port = server.server_address[:2]
    print(f"shop_local is ready at http://{host!s}:{port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
