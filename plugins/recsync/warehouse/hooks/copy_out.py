"""Copy the rows of a query to standard output, in a separate process: run as a script.

psycopg2 takes the interpreter's lock once a row. In a thread beside the checks, reading and checking wait for each
other; here they use two processors. The script imports psycopg2 and little else: it starts in 50 ms and takes 20 MB.

Standard input has one line of JSON (connection parameters, statements to run first, the COPY statement) and stays open:
its end, also when the parent was killed, cancels the query. Standard error ends with one line of JSON: the outcome.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from typing import Any

import psycopg2

_BUFFER_BYTES = 1 << 20


def copy_out(request: dict[str, Any]) -> dict[str, Any]:
    """Copy the rows.

    :returns: ``error``: None, or the error's text; ``state``: its SQLSTATE; ``connected``: whether it came later than
        the connection.
    """
    connected = False
    try:
        session = psycopg2.connect(**request["parameters"])
        connected = True
        threading.Thread(target=_cancel_at_end, args=(session,), daemon=True).start()
        session.set_session(readonly=True)
        with session.cursor() as cursor:
            for statement, parameters in request["before"]:
                cursor.execute(statement, parameters)
            with open(1, "wb", buffering=_BUFFER_BYTES, closefd=False) as rows:
                cursor.copy_expert(request["copy"], rows)
    except psycopg2.Error as error:
        return {"error": str(error), "state": error.pgcode, "connected": connected}
    return {"error": None}


def _cancel_at_end(session: Any) -> None:
    while os.read(0, 1024):
        pass
    with suppress(psycopg2.Error):
        session.cancel()


def _line() -> bytes:
    """Read one line and no further: the other thread waits for the end of the input."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            break
        line += piece
    return line


def _main() -> None:
    outcome = copy_out(json.loads(_line()))
    os.write(2, json.dumps(outcome).encode())
    # Not the interpreter's own end, which waits for the thread that reads the input.
    os._exit(0)


if __name__ == "__main__":
    _main()
