"""Health, readiness and metrics of the bridge, over HTTP."""

import json
import logging
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Counter, Gauge, make_wsgi_app

from model_store.environment import listen_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Probes every few seconds are not worth a line."""


class Monitor:
    """What the bridge tells of itself."""

    def __init__(self, sources: Iterable[str]) -> None:
        """Register the metrics; ready once all `sources` are connected."""
        self._connected = dict.fromkeys(sources, False)
        self._messages = Counter("bridge_messages", "Messages done with, by source and outcome", ["source", "outcome"])
        self._retries = Counter("bridge_retries", "Attempts that failed and were repeated, by error", ["error"])
        self._unroutable = Counter("bridge_unroutable_replies", "Replies whose reply_to does not exist")
        self._offset = Gauge("bridge_offset", "Last offset stored, by source", ["source"])
        self._up = Gauge("bridge_connected", "1 while the source is read", ["source"])
        self._metrics = make_wsgi_app()

    def connected(self, source: str, connected: bool) -> None:
        """Note that a source is read, or no longer."""
        self._connected[source] = connected
        self._up.labels(source).set(connected)

    def done(self, source: str, outcome: str, count: int) -> None:
        """Count messages."""
        self._messages.labels(source, outcome).inc(count)

    def retried(self, error: str) -> None:
        """Count a failed attempt."""
        self._retries.labels(error).inc()

    def unroutable(self, to: str) -> None:
        """Count a reply that nobody waits for any more."""
        self._unroutable.inc()
        logger.info("a reply could not be routed: there is no queue %s", to)

    def offset(self, source: str, offset: int) -> None:
        """Note a stored offset."""
        self._offset.labels(source).set(offset)

    def serve(self) -> None:
        """Answer on LISTEN_HOST:LISTEN_PORT in a thread."""
        server = make_server(*listen_address(8081), self, _ThreadingServer, _SilentHandler)
        threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer /_/health, /_/ready and /metrics."""
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return cast(Iterable[bytes], self._metrics(environ, start_response))
        missing = [source for source, connected in self._connected.items() if not connected]
        if path == "/_/health":
            status, body = "200 OK", {"status": "alive"}
        elif path != "/_/ready":
            status, body = "404 Not Found", {"status": "there is /_/health, /_/ready and /metrics"}
        elif missing:
            status, body = "503 Service Unavailable", {"status": f"not reading {', '.join(missing)} yet"}
        else:
            status, body = "200 OK", {"status": "ready"}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]
