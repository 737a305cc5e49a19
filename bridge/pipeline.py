"""From a source, in batches, to a handler, several at a time; finished in the order they were read."""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from prometheus_client import Counter, Gauge

from bridge.settings import BatchLimits
from messages.ports import BrokerUnavailable, Message, Source
from process.backoff import Backoff
from process.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Abandoned, Retry
from records import RecordsUnavailable

logger = logging.getLogger(__name__)

CONNECTED = Gauge("bridge_connected", "1 while the source is read", ["source"])
OFFSET = Gauge("bridge_offset", "Last offset stored, by source", ["source"])
RETRIES = Counter("bridge_retries", "Attempts that failed and were repeated, by error", ["error"])

READ_TIMEOUT_SECONDS = 0.5
Handler = Callable[[list[Message]], frozenset[int]]


def count_retry(error: str) -> None:
    """Count an attempt that failed, by the name of its error."""
    RETRIES.labels(error).inc()


class OffsetStore(Protocol):
    """Where it is remembered how far a source is done. Its methods raise RecordsUnavailable."""

    def offset(self, consumer: str) -> int | None:
        """Return the offset of the last message that is done, None if there is none."""

    def store_offset(self, consumer: str, offset: int) -> None:
        """Remember that all messages up to `offset` are done."""


@dataclass(eq=False)
class Pipeline:
    """Moves messages from `source` through a handler until `stop` is set; `offsets` remember how far it is done.

    The handler gets a batch and returns the positions of the bad messages in it, once all it has to do for the
    batch is durable. Only then, and only when all earlier batches are handled too, is the offset stored: so a
    crash at any point repeats work, and loses none. The broker itself remembers what is done of a queue.
    """

    source: Source
    handle: Handler
    offsets: OffsetStore
    retry: Retry
    stop: threading.Event
    limits: BatchLimits
    connected: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self.name = self.source.name
        self._pool = ThreadPoolExecutor(self.limits.in_flight, f"{self.name}-batch")
        self._slots = threading.Semaphore(self.limits.in_flight)
        self._latest: Future[None] | None = None
        self._last_read: int | None = None

    def run(self) -> None:
        """Work until `stop` is set, then finish what is in hand, and close the source.

        Sets `stop` if it ends by itself, as at a bug, so that whatever runs beside it ends too. What the retry policy
        abandons stays unfinished: its offset is not stored.
        """
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        try:
            self._last_read = self.retry(lambda: self.offsets.offset(self.name), RecordsUnavailable)
            while not self.stop.is_set():
                try:
                    self.source.open(self._last_read)
                    backoff.worked()
                    self._note_connected(True)
                    logger.info("%s: reading behind offset %s", self.name, self._last_read)
                    for messages in self._batches():
                        self._begin(messages)
                except BrokerUnavailable as error:
                    wait_seconds = backoff.failed()
                    self._note_connected(False)
                    count_retry(type(error).__name__)
                    logger.warning("%s: %s; reading resumes in %.1f s", self.name, error, wait_seconds)
                    self.stop.wait(wait_seconds)
        except Abandoned:
            pass  # Nothing was read yet.
        finally:
            self.stop.set()
            self._pool.shutdown()
            self.source.close()
            self._note_connected(False)

    def _note_connected(self, connected: bool) -> None:
        self.connected = connected
        CONNECTED.labels(self.name).set(connected)

    def _batches(self) -> Iterator[list[Message]]:
        """Yield what is to be handled together, until `stop` is set; raises BrokerUnavailable."""
        left_over: list[Message] = []
        while not self.stop.is_set():
            batch = left_over or self.source.read(self.limits.messages, READ_TIMEOUT_SECONDS)
            deadline = time.monotonic() + self.limits.wait_seconds
            while (
                batch
                and len(batch) < self.limits.messages
                and (remaining_seconds := deadline - time.monotonic()) > 0
                and sum(len(message.body) for message in batch) < self.limits.bytes
            ):
                batch += self.source.read(self.limits.messages - len(batch), remaining_seconds)
            # A single message may be larger than a batch.
            count = bisect_right(list(accumulate(len(message.body) for message in batch)), self.limits.bytes) or 1
            left_over = batch[count:]
            if batch:
                yield batch[:count]

    def _begin(self, messages: list[Message]) -> None:
        """Hand a batch over once there is room for it; where a stop comes first, it is left for the next start."""
        self._slots.acquire()
        if not self.stop.is_set():
            self._last_read = messages[-1].position
            self._latest = self._pool.submit(self._process, messages, self._latest)

    def _process(self, messages: list[Message], earlier: Future[None] | None) -> None:
        """Handle a batch and, once the one before it is finished, finish it; raises Abandoned, as that one may."""
        first, last = messages[0], messages[-1]
        try:
            rejected = self.handle(messages)
            if earlier:
                earlier.result()
            if (offset := last.offset) is not None:
                self.retry(lambda: self.offsets.store_offset(self.name, offset), RecordsUnavailable)
            self.source.finish(messages, rejected)
            OFFSET.labels(self.name).set(last.position)
        except Abandoned:
            logger.warning("%s: offsets %d to %d are left for the next start", self.name, first.position, last.position)
            self.stop.set()
            raise
        except BaseException as error:
            # Nobody may look at the future: without this, a bug would silently hold the offset for ever.
            logger.critical("%s: stopping at a bug", self.name, exc_info=True)
            self.stop.set()
            raise Abandoned from error
        finally:
            self._slots.release()
