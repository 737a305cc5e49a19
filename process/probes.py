"""/_/health, /_/ready and /metrics: what every process answers about itself."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contracts.codec import encode
from contracts.problem import ProbeStatus, ProblemDetails
from process.settings import listen_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Probes:
    """A WSGI app that answers about the process, and hands every other request on."""

    def __init__(self, not_ready: Callable[[], str | None], others: "WSGIApplication | None" = None) -> None:
        """not_ready: returns why the process can't work yet, None once it can; others gets all other requests."""
        self._not_ready = not_ready
        self._others = others or _nothing_else

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path not in ("/_/health", "/_/ready", "/metrics"):
            return self._others(environ, start_response)
        status, headers = "200 OK", []
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, headers = "405 Method Not Allowed", [("Allow", "GET, HEAD")]
            kind, body = PROBLEM_JSON, encode(ProblemDetails.of(405, "This is to be read with GET."))
        elif path == "/metrics":
            kind, body = CONTENT_TYPE_LATEST, generate_latest()
        elif path == "/_/ready" and (reason := self._not_ready()):
            status, headers = "503 Service Unavailable", [("Retry-After", str(RETRY_AFTER_SECONDS))]
            kind, body = PROBLEM_JSON, encode(ProblemDetails.of(503, reason))
        else:
            kind, body = JSON, encode(ProbeStatus("alive" if path == "/_/health" else "ready"))
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
        return [body]


def serve_probes(not_ready: Callable[[], str | None], default_port: int) -> None:
    """Answer on LISTEN_HOST:LISTEN_PORT in a thread, in a process that serves nothing else over HTTP."""
    server = make_server(*listen_address(default_port), Probes(not_ready), _ThreadingServer, _SilentHandler)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Probes every few seconds are not worth a line."""


def _nothing_else(_environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    body = encode(ProblemDetails.of(404, "There is /_/health, /_/ready and /metrics."))
    start_response("404 Not Found", [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(body)))])
    return [body]
