"""The HTTP front of a process: a body is received whole, within a deadline and a budget, before any work begins.

Bodies are received on an event loop, which no sender can hold up: a Python thread that reads one is stopped by whoever
sends it slowly. Probes are answered there too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from granian.rsgi import Headers, HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]  # its documented names
from prometheus_client import Counter, Gauge

from process.answers import Answer, Overloaded, Problem
from process.probes import PATHS, Probes
from process.settings import listen_address, number, setting, whole_number

SMALL_BODY_BYTES = 16 * 1024
"""What a sender may always have in a process; only what is larger takes part of the budget."""
WAITING_PER_THREAD = 16

TIMED_OUT = Counter("http_bodies_timed_out", "Requests whose body did not come in time")
REFUSED = Counter("http_requests_refused", "Requests that were answered 503, by what there was too much of", ["much"])
RECEIVED = Gauge("http_body_bytes", "Bytes of large bodies that are received and not answered yet")


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
    """A request that is here as a whole."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes | bytearray

    @property
    def content_type(self) -> str:
        """What the body is said to be; empty where nothing is said."""
        found: str = self.headers.get("content-type", "")
        return found


class Front:
    """Answers requests: probes itself, what `hot` answers on the event loop, and `others` all others, in threads."""

    def __init__(
        self,
        not_ready: Callable[[], str | None],
        limits: Limits,
        *,
        hot: Callable[[Request], Awaitable[Answer | None]] | None = None,
        others: Callable[[Request], Answer] | None = None,
        threads: int = 1,
        default_port: int = 8080,
    ) -> None:
        """not_ready: returns why the process can't work yet, None once it can.

        hot: answers on the event loop, or says None; threads: how many requests `others` gets at a time.
        Its address is LISTEN_HOST and LISTEN_PORT, or `default_port`. Raises SettingsError.
        """
        self.address = listen_address(default_port)
        self.limits = limits
        self._probes = Probes(not_ready)
        self._hot = hot
        self._others = others
        self._threads = ThreadPoolExecutor(threads, "http")
        self._most_waiting = threads * WAITING_PER_THREAD
        self._waiting = 0
        self._received_bytes = 0
        RECEIVED.set_function(lambda: self._received_bytes)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        body: bytes | bytearray = b""
        try:
            path = scope.path
            if path in PATHS:
                answer = await self._probes.answer(scope.method, path)
            else:
                body = await self._receive(scope, protocol)
                answer = await self._answer(Request(scope.method, path, scope.query_string, scope.headers, body))
        except Problem as problem:
            answer = problem.answer()
        except ProtocolClosed:
            answer = Problem(400, "The body ended before all of it had come.", Connection="close").answer()
        finally:
            if len(body) > SMALL_BODY_BYTES:
                self._received_bytes -= len(body)
        protocol.response_bytes(*answer)

    async def _receive(self, scope: Scope, protocol: HTTPProtocol) -> bytes | bytearray:
        """Return the body of a request; raises Problem."""
        announced = scope.headers.get("content-length")
        if announced is None and "transfer-encoding" not in scope.headers:
            return b""
        announced_bytes = int(announced or 0)
        if announced_bytes > 2 * self.limits.max_body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.limits.body_timeout_seconds):
                if announced and announced_bytes <= min(SMALL_BODY_BYTES, self.limits.max_body_bytes):
                    return await protocol()
                return await self._receive_large(protocol, announced_bytes)
        except TimeoutError as error:
            TIMED_OUT.inc()
            seconds = self.limits.body_timeout_seconds
            detail = f"The body did not come within {seconds:g} s; send it faster, or in parts."
            raise Problem(408, detail, Connection="close") from error

    async def _receive_large(self, protocol: HTTPProtocol, announced_bytes: int) -> bytearray:
        """Return a body that takes part of the budget, as it comes; raises Problem.

        What is refused is still read, as much as a body may have, and thrown away: most clients look for an answer only
        once they have sent all.
        """
        body = bytearray()
        counted_bytes = passed_over_bytes = 0
        refusal = self._too_large() if announced_bytes > self.limits.max_body_bytes else None
        try:
            async for chunk in protocol:
                if refusal:
                    passed_over_bytes += len(chunk)
                    if passed_over_bytes > self.limits.max_body_bytes:
                        break
                    continue
                body += chunk
                if len(body) > SMALL_BODY_BYTES:
                    self._received_bytes += len(body) - counted_bytes
                    counted_bytes = len(body)
                if refusal := self._refusal(len(body)):
                    self._received_bytes -= counted_bytes
                    counted_bytes = 0
                    body.clear()
            if refusal:
                raise refusal
            counted_bytes = 0
        finally:
            self._received_bytes -= counted_bytes
        return body

    def _refusal(self, body_bytes: int) -> Problem | None:
        """Return why no more of a body is taken."""
        if body_bytes > self.limits.max_body_bytes:
            return self._too_large()
        if body_bytes > SMALL_BODY_BYTES and self._received_bytes > self.limits.body_budget_bytes:
            REFUSED.labels("bodies").inc()
            return Overloaded("Too many large bodies are on their way; send this one again, or in parts.")
        return None

    def _too_large(self) -> Problem:
        return Problem(413, f"The body is larger than {self.limits.max_body_bytes} bytes; send it in parts.")

    async def _answer(self, request: Request) -> Answer:
        if self._hot and (answer := await self._hot(request)):
            return answer
        if self._others is None:
            raise Problem(404, f"There is {', '.join(sorted(PATHS))}.")
        if self._waiting >= self._most_waiting:
            REFUSED.labels("requests").inc()
            raise Overloaded("Too many requests wait already; send this one again.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._others, request)
        finally:
            self._waiting -= 1
