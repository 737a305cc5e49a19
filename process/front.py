"""The HTTP front of a process: who answers a request, and what a sender may take of the process.

A request is here as a whole before any work begins: see http1.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Counter

from process import tracing
from process.answers import JSON, Answer, Overloaded, Problem
from process.guard import SAFE_METHODS, Guard
from process.probes import PATHS, Probes
from process.settings import listen_address, number, setting, whole_number

WAITING_PER_THREAD = 16
DESCRIPTION_PATH = "/openapi.json"

REFUSED = Counter("http_requests_refused", "Requests that were answered 503, by what there was too much of", ["much"])
for _much in ("bodies", "requests", "connections"):
    REFUSED.labels(_much)


@dataclass(frozen=True)
class Limits:
    """What a sender may take of a process. Read as `Settings` are; raises SettingsError.

    max_body_bytes: of one body; a larger one is answered 413.
    body_budget_bytes: of all large bodies that are not answered yet, together; beyond it the answer is 503.
    body_timeout_seconds: for all of a body to come; later the answer is 408.
    """

    max_body_bytes: int
    body_budget_bytes: int = setting(whole_number, "BODY_BUDGET_BYTES", 32 * 1024 * 1024, least=1)
    body_timeout_seconds: float = setting(number, "BODY_TIMEOUT_SECONDS", 10.0, least=0.1)

    @classmethod
    def of(cls, max_body_bytes: int) -> "Limits":
        """Return the limits of a function that takes bodies of `max_body_bytes`, unless MAX_BODY_BYTES says else."""
        return cls(whole_number("MAX_BODY_BYTES", max_body_bytes, least=1))


class Request(NamedTuple):
    """A request that is here as a whole; its path is as it was sent, the names of its headers in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | bytearray

    @property
    def content_type(self) -> str:
        """What the body is said to be; empty where nothing is said."""
        return self.headers.get("content-type", "")


class Front:
    """Answers requests: probes and what `hot` answers on the event loop, `others` all others, in threads."""

    def __init__(
        self,
        not_ready: Callable[[], str | None],
        limits: Limits,
        *,
        hot: Callable[[Request], Answer | Awaitable[Answer] | None] | None = None,
        others: Callable[[Request], Answer] | None = None,
        threads: int = 1,
        safe_methods: frozenset[str] = SAFE_METHODS,
        default_port: int = 8080,
        not_started: Callable[[], str | None] = lambda: None,
        description: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """not_ready: returns why the process can't work yet, None once it can.

        not_started: the same at once, of what has to be there before the process takes the place of another one.
        hot: answers at once, or later but on the event loop, or says None. threads: how many requests `others` gets at
        a time. safe_methods: see Guard. description: a file that says by OpenAPI what there is to ask; it is read
        whenever somebody wants it, so that a process keeps none of it. headers: of every answer, also of those that are
        given before a request is whole. Its address is LISTEN_HOST and LISTEN_PORT, or `default_port`. Raises
        SettingsError.
        """
        self.address = listen_address(default_port)
        self.limits = limits
        self.headers = headers or {}
        self._guard = Guard(self.address[0], safe_methods=safe_methods)
        self._probes = Probes(not_ready, not_started)
        self._hot = hot
        self._others = others
        self._description = description
        self._threads = ThreadPoolExecutor(threads, "http")
        self._most_waiting = threads * WAITING_PER_THREAD
        self._waiting = 0

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer one request, at once or later; both raise Problem."""
        # Probes come again and again, and are nobody's work.
        if (tracing.HEADER in request.headers or tracing.tells()) and request.path not in PATHS:
            return self._traced(request)
        return self._answer(request)

    async def _traced(self, request: Request) -> Answer:
        """Answer a request that is part of a trace, and say of which."""
        traceparent = tracing.checked(request.headers.get(tracing.HEADER))
        with tracing.span(request.method, "server", traceparent) as span:
            try:
                found = self._answer(request)
                answer = found if isinstance(found, Answer) else await found
            except Problem as problem:
                answer = problem.answer()
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.failed(f"answered {answer.status}")
        if span.traceparent is None:
            return answer
        return answer._replace(headers=[*answer.headers, (tracing.HEADER, span.traceparent)])

    def _answer(self, request: Request) -> Answer | Awaitable[Answer]:
        self._guard.check(request.method, request.headers)
        if request.path in PATHS:
            return self._probes.answer(request.method, request.path, request.headers)
        if self._hot and (answer := self._hot(request)):
            return answer
        if self._description and request.path == DESCRIPTION_PATH:
            if request.method not in ("GET", "HEAD"):
                raise Problem(405, "This is to be read with GET.", Allow="GET, HEAD")
            return Answer(200, [("content-type", JSON)], self._description.read_bytes())
        return self._in_thread(request)

    async def _in_thread(self, request: Request) -> Answer:
        if self._others is None:
            raise Problem(404, f"There is {', '.join(sorted(PATHS))}.")
        if self._waiting >= self._most_waiting:
            REFUSED.labels("requests").inc()
            raise Overloaded("Too many requests wait already; send this one again.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, copy_context().run, self._others, request)
        finally:
            self._waiting -= 1
