"""Metrics and readiness of the bridge."""

import logging
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

logger = logging.getLogger(__name__)


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

    def not_ready(self) -> str | None:
        """Return which sources are not read, None if all are."""
        missing = [source for source, connected in self._connected.items() if not connected]
        return f"not reading {', '.join(missing)} yet" if missing else None

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
