"""Hand the requests of AWS clients to a moto server of the same process without HTTP between them.

Sockets, a thread per request and the parsing of HTTP take as much CPU as moto itself. The application behind is the
same one: other processes and async clients still reach it by its port.
"""

from __future__ import annotations

import sys
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer
from urllib3 import HTTPResponse

# The WSGI applications by host and port.
_APPLICATIONS: dict[str, Any] = {}
_start, _stop, _send = ThreadedMotoServer.start, ThreadedMotoServer.stop, URLLib3Session.send


def install() -> None:
    """Take over for all servers and clients of this process."""
    ThreadedMotoServer.start, ThreadedMotoServer.stop = start, stop  # type: ignore[method-assign]
    URLLib3Session.send = send
    # It lists the folders of all services for each request, a third of what a request costs.
    DomainDispatcherApplication.get_backend_for_host = cache(DomainDispatcherApplication.get_backend_for_host)  # type: ignore[method-assign]


def start(server: ThreadedMotoServer) -> None:
    _start(server)
    assert server._server is not None
    _APPLICATIONS["{}:{}".format(*server.get_host_and_port())] = server._server.app


def stop(server: ThreadedMotoServer) -> None:
    del _APPLICATIONS["{}:{}".format(*server.get_host_and_port())]
    _stop(server)


def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
    address = urlsplit(request.url)
    application = _APPLICATIONS.get(address.netloc)
    # A body whose size is not known before goes in chunks, which the server's side of HTTP puts together.
    if application is None or "Transfer-Encoding" in request.headers:
        return _send(session, request)
    status, headers, body = _call(application, request, address)
    raw = HTTPResponse(
        BytesIO(body),
        headers,
        status,
        preload_content=False,
        decode_content=False,
        request_method=request.method,
        enforce_content_length=False,
    )
    response = AWSResponse(request.url, status, raw.headers, raw)
    if not request.stream_output:
        _ = response.content  # reads it
    return response


def _call(
    application: Any, request: AWSPreparedRequest, address: Any
) -> tuple[int, list[tuple[str, str]], bytes]:
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    body = body.encode() if isinstance(body, str) else bytes(body)
    target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(address.path or "/").decode("latin-1"),
        "QUERY_STRING": address.query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": address.hostname,
        "SERVER_PORT": str(address.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": address.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    environ["CONTENT_LENGTH"] = str(len(body))
    begun: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        begun[:] = [int(status.split()[0]), headers]
        return begun.append

    try:
        parts = application(environ, start_response)
    except Exception:  # ruff: ignore[blind-except] - so answers its server when moto fails, e.g. on an aborted upload
        return 500, [], b""
    try:
        found = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, headers = begun
    return status, headers, b"" if request.method == "HEAD" else found
