"""HTTP/1.1 on an event loop: from the bytes of a connection to whole requests, and back.

The parser is httptools: llhttp, that of Node.js, as a C extension, kept by the authors of uvloop. No server was found
that does the rest as it is needed here: see docs/http.md.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools
from prometheus_client import Counter

from process.answers import Answer, Overloaded, Problem
from process.front import REFUSED, Request

if TYPE_CHECKING:
    from process.server import Server

SMALL_BODY_BYTES = 8 * 1024
"""What a sender may always have in a process; only what is larger takes part of the budget."""
HEAD_PIECE_BYTES, CHUNKS_PIECE_BYTES = 8 * 1024, 1024
"""How much is read at a time where no large body is announced: others wait while it is parsed.

Of chunks less than of a head, as long as they are small: each takes as long as some hundred bytes.
"""
MAX_REST_BYTES = 16 * 1024
"""Of a head, beyond its first piece; of what stands between the parts of a body, beyond as many bytes as it has."""
MAX_HEADERS = 100
MOST_PIPELINED = 16
LINGER_SECONDS = 2.0
"""How long a closed connection is still read from: who is reset while it sends may never see its answer."""

TIMED_OUT = Counter("http_bodies_timed_out", "Requests whose body did not come in time")

log = logging.getLogger(__name__)

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
FAILED = Problem(500, "The function failed; its log says why.").answer()


class _Incoming:
    """A request as it comes; `refusal` is what it is answered with instead, once as much of it was read as is read."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.header_count = 0
        self.is_head_whole = False
        self.method = ""
        self.announced_bytes = 0
        self.body: bytes | bytearray = b""
        self.head_bytes = 0  # beyond its first piece
        self.counted_bytes = 0
        self.refusal: Problem | None = None
        # Of what came since the piece in which it began, and of that what belongs to the body.
        self.read_bytes: int | None = None
        self.body_bytes = 0

    def waits(self) -> bool:
        """Whether the client wants to know if the body is taken, before it sends that."""
        return self.headers.get("expect", "").lower() == "100-continue"

    def request(self) -> Request:
        """Return it, whole; raises Problem."""
        if self.refusal:
            raise self.refusal
        target = self.target
        if not target.startswith(b"/"):
            try:
                url = httptools.parse_url(target)
            except httptools.HttpParserInvalidURLError as error:
                raise Problem(400, "The request's target is no URL.") from error
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        path, _, query = target.decode("latin-1").partition("?")
        return Request(self.method, path, query, self.headers, self.body)


class Connection(asyncio.BufferedProtocol):
    """One client: reads its requests, one after the other, and writes the answers in their order.

    What a sender can have of the process is bounded: in time from the first byte on, in bytes of head and of body, in
    requests that wait for the one before them. Nothing is read while a request is answered elsewhere, or while the
    client takes no answers.
    """

    def __init__(self, server: "Server") -> None:
        """Serve `server.front`."""
        self._server = server
        self._front = server.front
        self._limits = server.front.limits
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._whole: deque[_Incoming] = deque()
        self._answering: asyncio.Future[Answer] | None = None
        self._takes_answers = True
        self._ends = False
        self._has_ended = False
        self._has_eof = False
        self._transport: asyncio.Transport

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.take(self)
        if self._server.is_draining:
            self.drain()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the server's one buffer: what is in it has been parsed before another connection reads."""
        buffer, incoming = self._server.buffer, self._incoming
        if incoming is None or not incoming.is_head_whole:
            return buffer[:HEAD_PIECE_BYTES]
        if incoming.announced_bytes:
            return buffer
        chunks_are_large = 2 * incoming.body_bytes > (incoming.read_bytes or 0)
        return buffer[: HEAD_PIECE_BYTES if chunks_are_large else CHUNKS_PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came, and answer what is whole."""
        if self._ends:
            return
        try:
            self._parser.feed_data(self._server.buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self._ends = True  # there is no other protocol: it is answered as if it had not asked
        except httptools.HttpParserError as error:
            if not self._ends:
                self._refuse(Problem(400, f"This is no HTTP/1.1: {error}."))
        else:
            self._look_at_incoming(nbytes)
        self._go_on()

    def eof_received(self) -> bool:
        """Answer what is whole to a client that sends nothing more; returns whether the connection stays open."""
        self._has_eof = True
        if self._incoming and not self._ends:
            self._refuse(Problem(400, "The request ended before all of it had come."))
        self._ends = True
        self._go_on()
        return not self._has_ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget all that came."""
        self._has_ended = True
        self._server.forget(self)
        for each in (self._incoming, *self._whole):
            self._give_back(each)
        self._incoming = None
        self._whole.clear()

    def pause_writing(self) -> None:
        """Read nothing more from a client that takes no answers."""
        self._takes_answers = False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._takes_answers = True
        self._read_again()

    # What the parser calls, within `buffer_updated`.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if len(self._whole) >= MOST_PIPELINED:
            self._ends = True
        self._incoming = None if self._ends else _Incoming()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        if self._incoming:
            self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is passed over."""
        incoming = self._incoming
        if incoming is None or incoming.is_head_whole:
            return
        headers = incoming.headers
        incoming.header_count += 1
        if incoming.header_count > MAX_HEADERS:
            incoming.refusal = Problem(431, f"The request has more than {MAX_HEADERS} headers.")
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Judge by the head whether the body is taken."""
        incoming = self._incoming
        if incoming is None:
            return
        incoming.is_head_whole = True
        incoming.method = self._parser.get_method().decode("latin-1")
        self._server.due.pop(self, None)  # the body has its own time
        incoming.announced_bytes = int(incoming.headers.get("content-length", 0))
        if incoming.announced_bytes > self._limits.max_body_bytes:
            incoming.refusal = incoming.refusal or self._too_large()
        elif incoming.waits() and not self._whole and not self._answering:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, within the limits.

        What is refused is still read, as much as a body may have, and thrown away: most clients look for an answer only
        once they have sent all.
        """
        incoming = self._incoming
        if incoming is None:
            return
        incoming.body_bytes += len(body)
        if incoming.refusal:
            return
        if not incoming.body:
            incoming.body = body
        else:
            if isinstance(incoming.body, bytes):
                incoming.body = bytearray(incoming.body)
            incoming.body += body
        if refusal := self._refusal(incoming):
            incoming.refusal = refusal
            self._give_back(incoming)
            incoming.body = b""

    def on_message_complete(self) -> None:
        """Have it answered."""
        incoming = self._incoming
        if incoming is None:
            return
        self._whole.append(incoming)
        self._incoming = None
        self._ends = not self._parser.should_keep_alive() or self._server.is_ending

    # What comes in.

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come that is not answered."""
        return self._incoming is None and self._answering is None

    def give_up(self) -> None:
        """Close at once."""
        self._transport.abort()

    def time_out(self) -> None:
        """Give up what did not come in time, or end a connection that has had its last answer."""
        if self._has_ended:
            if self._transport.get_write_buffer_size():
                self._server.due[self] = self._server.time() + LINGER_SECONDS
            else:
                self._transport.abort()
            return
        what = "body" if self._incoming and self._incoming.is_head_whole else "head"
        seconds = self._limits.body_timeout_seconds
        if what == "body":
            TIMED_OUT.inc()
        self._refuse(Problem(408, f"The {what} did not come within {seconds:g} s; send it faster, or in parts."))
        self._go_on()

    def drain(self) -> None:
        """Answer what has come, or begun to come, and close."""
        if self._incoming is None:
            self._ends = True
            self._go_on()

    def _look_at_incoming(self, new_bytes: int) -> None:
        """Give up a request of which there is more than is read at all."""
        incoming = self._incoming
        if incoming is None:
            return
        incoming.read_bytes = 0 if incoming.read_bytes is None else incoming.read_bytes + new_bytes
        most = self._limits.max_body_bytes
        if not incoming.is_head_whole:
            if incoming.refusal or incoming.read_bytes > MAX_REST_BYTES:
                self._refuse(incoming.refusal or Problem(431, "The head is too large; send fewer and shorter headers."))
                return
            incoming.head_bytes = incoming.read_bytes
            if refusal := self._count(incoming, incoming.head_bytes):
                self._refuse(refusal)
        elif incoming.refusal and (max(incoming.announced_bytes, incoming.body_bytes) > 2 * most or incoming.waits()):
            self._refuse(incoming.refusal)
        elif not incoming.announced_bytes and incoming.read_bytes > 2 * incoming.body_bytes + MAX_REST_BYTES:
            self._refuse(
                Problem(400, "The body's chunks are too small, or its trailers too large; send larger chunks.")
            )

    def _refuse(self, problem: Problem) -> None:
        """Answer what is incoming with a problem, and read nothing more."""
        incoming = self._incoming or _Incoming()
        self._give_back(incoming)
        incoming.refusal = problem
        self._whole.append(incoming)
        self._incoming = None
        self._ends = True

    def _refusal(self, incoming: _Incoming) -> Problem | None:
        """Return why no more of a body is taken; a large one is counted in the budget."""
        body_bytes = len(incoming.body)
        if body_bytes > self._limits.max_body_bytes:
            return self._too_large()
        return self._count(incoming, incoming.head_bytes + body_bytes) if body_bytes > SMALL_BODY_BYTES else None

    def _count(self, incoming: _Incoming, received_bytes: int) -> Problem | None:
        """Take part of the budget for a request; returns why it is refused where that is used up."""
        more_bytes = received_bytes - incoming.counted_bytes
        self._server.received_bytes += more_bytes
        incoming.counted_bytes = received_bytes
        if more_bytes and self._server.received_bytes > self._limits.body_budget_bytes:
            REFUSED.labels("bodies").inc()
            return Overloaded("Too many large requests are on their way; send this one again, or in parts.")
        return None

    def _give_back(self, incoming: _Incoming | None) -> None:
        if incoming:
            self._server.received_bytes -= incoming.counted_bytes
            incoming.counted_bytes = 0

    def _too_large(self) -> Problem:
        return Problem(413, f"The body is larger than {self._limits.max_body_bytes} bytes; send it in parts.")

    # What goes out.

    def _go_on(self) -> None:
        """Answer what is whole, one after the other; end where nothing more is to come."""
        while self._whole and self._answering is None:
            self._answer(self._whole.popleft())
        if self._answering is None and self._ends:
            self._end()
        elif self._incoming is None or self._answering:
            self._server.due.pop(self, None)
        else:
            self._server.due.setdefault(self, self._server.time() + self._limits.body_timeout_seconds)

    def _answer(self, incoming: _Incoming) -> None:
        found: Answer | Awaitable[Answer] = FAILED
        try:
            found = self._front.answer(incoming.request())
        except Problem as problem:
            found = problem.answer()
        finally:  # also where there is a bug, of which asyncio tells the log, and closes the connection
            if isinstance(found, Answer):
                self._send(incoming, found)
            else:
                self._transport.pause_reading()
                self._answering = asyncio.ensure_future(found)
                self._answering.add_done_callback(partial(self._has_answer, incoming))

    def _has_answer(self, incoming: _Incoming, answering: "asyncio.Future[Answer]") -> None:
        self._answering = None
        if answering.cancelled():
            return
        error = answering.exception()
        if error is None:
            answer = answering.result()
        elif isinstance(error, Problem):
            answer = error.answer()
        else:
            answer = FAILED
            log.error("A request failed", exc_info=error)
        try:
            self._send(incoming, answer)
            self._go_on()
            self._read_again()
        except BaseException:  # a bug: nobody else would close it, since nothing is read meanwhile
            self._transport.abort()
            raise

    def _send(self, incoming: _Incoming, answer: Answer) -> None:
        """Write an answer."""
        self._give_back(incoming)
        if self._transport.is_closing():
            return
        status, headers, body = answer
        lines = [STATUS_LINES[status], self._server.headers, *[f"{name}: {value}\r\n" for name, value in headers]]
        if self._ends and not self._whole:
            lines.append("connection: close\r\n")
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        head = "".join(lines).encode("latin-1")
        self._transport.write(head if incoming.method == "HEAD" else head + body)

    def _read_again(self) -> None:
        if self._answering is None and self._takes_answers:
            self._transport.resume_reading()

    def _end(self) -> None:
        """Close, once all is written; what the client sends until it has seen that is thrown away."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._has_eof:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone
            self._transport.abort()
            return
        self._server.due[self] = self._server.time() + LINGER_SECONDS
