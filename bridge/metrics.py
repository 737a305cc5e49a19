"""Metrics of the bridge; docs/operating.md says what to make of them."""

import logging

from prometheus_client import Counter, Gauge

logger = logging.getLogger(__name__)

CONNECTED = Gauge("bridge_connected", "1 while the source is read", ["source"])
MESSAGES = Counter("bridge_messages", "Messages done with, by source and outcome", ["source", "outcome"])
OFFSET = Gauge("bridge_offset", "Last offset stored, by source", ["source"])
RETRIES = Counter("bridge_retries", "Attempts that failed and were repeated, by error", ["error"])
UNROUTABLE = Counter("bridge_unroutable_replies", "Replies whose reply_to does not exist")


def count_retry(error: str) -> None:
    """Count an attempt that failed, by the name of its error."""
    RETRIES.labels(error).inc()


def count_unroutable(to: str) -> None:
    """Count a reply that nobody waits for any more."""
    UNROUTABLE.inc()
    logger.info("a reply could not be routed: there is no queue %s", to)
