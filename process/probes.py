"""/_/health, /_/ready and /metrics: what every process answers about itself, to those who run it.

A gateway is there for others, so what came through one gets none of it, however its path was written on the way.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contracts.problem import ProbeStatus
from process.answers import Answer, Overloaded, Problem, json_answer

PATHS = frozenset({"/_/health", "/_/ready", "/metrics"})
GATEWAY_HEADERS = frozenset({"forwarded", "x-call-id", "x-forwarded-for", "x-forwarded-host"})
"""What gateways add, and no sender can take away: OpenFaaS's the last three, Caddy the last two."""


class Probes:
    """Answers probes on the event loop; only whether it is ready is asked in a thread, since that may take long."""

    def __init__(self, not_ready: Callable[[], str | None], not_started: Callable[[], str | None]) -> None:
        """Both return a reason, or None: why the process can't work yet, and why it has not even started."""
        self._not_ready = not_ready
        self._not_started = not_started
        self._thread = ThreadPoolExecutor(1, "ready")
        self._asked: asyncio.Future[str | None] | None = None

    async def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request for one of PATHS; raises Problem."""
        if not GATEWAY_HEADERS.isdisjoint(headers):
            raise Problem(404, "No gateway leads here: ask this process at its own address.")
        if method not in ("GET", "HEAD"):
            raise Problem(405, "This is to be read with GET.", Allow="GET, HEAD")
        if path == "/metrics":
            return Answer(200, [("content-type", CONTENT_TYPE_LATEST)], generate_latest())
        if reason := await self._reason() if path == "/_/ready" else self._not_started():
            raise Overloaded(reason)
        return json_answer(ProbeStatus("alive" if path == "/_/health" else "ready"))

    async def _reason(self) -> str | None:
        # All who ask while a check goes on get what it finds.
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(self._thread, self._not_ready)
        return await asyncio.shield(self._asked)
