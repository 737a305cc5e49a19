"""Spans by OpenTelemetry: OTLP over HTTP, batched in a thread, and set by OpenTelemetry's own variables."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from process.tracing import HEADER

_CONTEXTS = TraceContextTextMapPropagator()


class OpenTelemetry:
    """Tells a collector; what is handed on is the span itself."""

    tells = True

    def __init__(self, process: str) -> None:
        """Tell of `process`; what waits at its end is sent first."""
        os.environ.setdefault("OTEL_SERVICE_NAME", process)
        # A process that is told to stop waits so long for a collector that is away, with each 512 spans.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # in seconds
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("sentiment")

    @contextmanager
    def span(self, name: str, kind: str, traceparent: str | None, links: Sequence[str] = ()) -> Iterator["_Span"]:
        """Begin a span."""
        context = _CONTEXTS.extract({HEADER: traceparent}) if traceparent else None
        with self._tracer.start_as_current_span(
            name, context, trace.SpanKind[kind.upper()], links=[trace.Link(_span_context(each)) for each in links]
        ) as span:
            yield _Span(span)


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _CONTEXTS.inject(carrier, trace.set_span_in_context(span))
        self.traceparent: str | None = carrier.get(HEADER)

    def failed(self, why: str) -> None:
        """Say that it did not work."""
        self._span.set_status(trace.StatusCode.ERROR, why)


def _span_context(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_CONTEXTS.extract({HEADER: traceparent})).get_span_context()
