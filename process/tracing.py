"""Traces: whose work this is, by W3C's Trace Context, taken from who asks, handed on, and given back with the answer.

Where OTEL_EXPORTER_OTLP_ENDPOINT is set, what is done is told as spans to a collector, by OpenTelemetry (`spans`); what
is handed on is then the span. Else it is what came in.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Protocol

from process.settings import SettingsError

HEADER = "traceparent"
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
FORM = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
"""What a traceparent looks like, 55 characters: version, trace, parent, flags (W3C Trace Context, 3.2)."""
# A later version may have more behind it, which is left out.
_TRACEPARENT = re.compile(rf"({FORM})(?:-.*)?")

_current: ContextVar[str | None] = ContextVar(HEADER, default=None)


class Span(Protocol):
    """What is done for a request or a batch."""

    traceparent: str | None
    """What is handed on to those who are asked for help with it, None where nobody traces it."""

    def failed(self, why: str) -> None:
        """Say that it did not work."""


class Tracer(Protocol):
    """Who is told what is done."""

    tells: bool
    """Whether there is anybody."""

    def span(
        self, name: str, kind: str, traceparent: str | None, links: Sequence[str] = ()
    ) -> AbstractContextManager[Span]:
        """Begin a span; it ends with the context.

        kind: `server` of a request, `consumer` of a batch of messages. traceparent: of whom it is done for, None of
        nobody. links: of others that it belongs to as well.
        """


class _Unseen:
    """A span that nobody is told of."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def failed(self, why: str) -> None:
        """Tell nobody."""


class HandedOn:
    """Tells nobody; what came in is handed on."""

    tells = False

    @contextmanager
    def span(self, name: str, kind: str, traceparent: str | None, links: Sequence[str] = ()) -> Iterator[Span]:  # noqa: ARG002
        """Hand on whose work it is, also where all who are linked are one."""
        yield _Unseen(traceparent or (links[0] if len(set(links)) == 1 else None))


_tracer: Tracer = HandedOn()


def start_tracing(process: str) -> None:
    """Tell the collector at OTEL_EXPORTER_OTLP_ENDPOINT what `process` does from now on, where that is set.

    Raises SettingsError where OpenTelemetry is not installed.
    """
    global _tracer
    if not os.environ.get(VARIABLE):
        return
    try:
        spans = import_module("process.spans")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{VARIABLE} must be unset where OpenTelemetry is not installed ({error.name}): install the extra [otel], "
            "or build the image with OTEL=true"
        ) from error
    _tracer = spans.OpenTelemetry(process)


def tells() -> bool:
    """Whether anybody is told of spans."""
    return _tracer.tells


@contextmanager
def span(name: str, kind: str, traceparent: str | None = None, links: Sequence[str] = ()) -> Iterator[Span]:
    """Begin a span; see Tracer. Without `traceparent` it belongs to the one that it is begun in."""
    with _tracer.span(name, kind, traceparent or _current.get(), links) as found:
        token = _current.set(found.traceparent)
        try:
            yield found
        finally:
            _current.reset(token)


def current() -> str | None:
    """Return the traceparent of what is being done, None where nobody traces it."""
    return _current.get()


def headers() -> dict[str, str]:
    """Return what a request sends along that is part of what is being done."""
    traceparent = current()
    return {HEADER: traceparent} if traceparent else {}


def checked(traceparent: str | None) -> str | None:
    """Return a traceparent as it came from outside, None where it is none."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else None


def trace_id(traceparent: str) -> str:
    """Return the trace that a traceparent belongs to."""
    return traceparent.split("-")[1]
