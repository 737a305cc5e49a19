"""From a source, in batches, to a handler, several at a time; concluded in the order they were read."""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from bridge.progress import StreamProgress
from bridge.settings import BatchLimits
from messages.ports import BrokerUnavailable, Message, Position, Source, Superseded
from process.backoff import Backoff
from process.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Abandoned, Retry

logger = logging.getLogger(__name__)

CONNECTED = Gauge("bridge_connected", "1 while the source is read, or waited for", ["source"])
OFFSET = Gauge("bridge_offset", "Last offset stored, by source", ["source"])
LAG = Gauge("bridge_lag_messages", "Messages in the source that are not done, where this bridge reads it", ["source"])
RETRIES = Counter("bridge_retries", "Attempts that failed and were repeated, by error", ["error"])

READ_TIMEOUT_SECONDS = 0.5


def count_retry(error: str) -> None:
    """Count an attempt that failed, by the name of its error."""
    RETRIES.labels(error).inc()


class Handled(NamedTuple):
    """A batch whose work is durable: the positions of the bad messages, and what is left to do in order of batches."""

    rejected: frozenset[int]
    conclude: Callable[[], None]


Handler = Callable[[list[Message]], Handled]


@dataclass(eq=False)
class Pipeline:
    """Moves messages from `source` through a handler until `stop` is set; `progress` remembers how far it is done.

    Batches are handled side by side, and concluded one after the other. Only then is the offset stored: so a crash at
    any point repeats work, and loses none. The broker itself remembers what is done of a queue. `slots` bound how many
    batches are in hand, over all pipelines that share them.
    """

    source: Source
    handle: Handler
    progress: StreamProgress
    retry: Retry
    stop: threading.Event
    limits: BatchLimits
    slots: threading.Semaphore
    connected: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self.name = self.source.name
        self._pool = ThreadPoolExecutor(self.limits.in_flight, f"{self.name}-batch")
        self._changed = threading.Condition()
        self._in_hand = 0
        self._concluded: Future[None] | None = None
        self._superseded = threading.Event()
        self._storing = threading.Lock()
        self._to_store: Position | None = None
        self._stored: Position | None = None

    def run(self) -> None:
        """Work until `stop` is set, then finish what is in hand, and close the source.

        Sets `stop` if it ends by itself, as at a bug, so that whatever runs beside it ends too. What the retry policy
        abandons stays unfinished: its offset is not stored.
        """
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        try:
            while not self.stop.is_set():
                try:
                    if not self._wait_for_what_is_in_hand():
                        return
                    self.source.open(self.progress)
                    backoff.worked()
                    self._note_connected(True)
                    self._read()
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

    def measure_lag(self) -> None:
        """Ask the source how many of its messages are not done; where it can't say, what it said before stays."""
        with suppress(BrokerUnavailable):
            end = self.source.end()
            LAG.labels(self.name).set(0 if end is None else max(end - 1 - self.progress.offset, 0))

    def _note_connected(self, connected: bool) -> None:
        self.connected = connected
        CONNECTED.labels(self.name).set(connected)

    def _read(self) -> None:
        """Hand over batches until `stop` is set; raises BrokerUnavailable, Abandoned."""
        while not self.stop.is_set():
            try:
                for messages in self._batches():
                    self._begin(messages)
            except Superseded as event:
                logger.info("%s", event)
                if self._wait_for_what_is_in_hand():
                    self.source.stand_by()

    def _wait_for_what_is_in_hand(self) -> bool:
        """Return True once no batch is in hand: what is read next begins behind all of them; or False at a stop."""
        with self._changed:
            while self._in_hand:
                if self.stop.is_set():
                    return False
                self._changed.wait(READ_TIMEOUT_SECONDS)
        self._concluded = self._to_store = self._stored = None
        self._superseded.clear()
        return True

    def _batches(self) -> Iterator[list[Message]]:
        """Yield what is to be handled together, each with a slot for it, until `stop` is set.

        Raises BrokerUnavailable, Superseded.
        """
        left_over: list[Message] = []
        while not self.stop.is_set():
            if self._superseded.is_set():
                raise BrokerUnavailable(f"{self.name}: its offset is another bridge's")
            batch = left_over or self.source.read(self.limits.messages, READ_TIMEOUT_SECONDS)
            if not batch:
                continue
            self._fill(batch, self.limits.wait_seconds)
            self.slots.acquire()
            try:
                # Waiting for the slot, more has come.
                self._fill(batch, 0)
            except (BrokerUnavailable, Superseded):
                self.slots.release()
                raise
            if self.stop.is_set():
                self.slots.release()
                return
            # A single message may be larger than a batch.
            count = bisect_right(list(accumulate(len(message.body) for message in batch)), self.limits.bytes) or 1
            left_over = batch[count:]
            yield batch[:count]

    def _fill(self, batch: list[Message], wait_seconds: float) -> None:
        """Add to a batch what comes in time, as long as there is room, and others are worked on meanwhile."""
        deadline = time.monotonic() + wait_seconds
        room_bytes = self.limits.bytes - sum(len(message.body) for message in batch)
        while self._in_hand and not self.stop.is_set() and room_bytes > 0 and len(batch) < self.limits.messages:
            remaining_seconds = deadline - time.monotonic()
            timeout_seconds = min(max(remaining_seconds, 0), READ_TIMEOUT_SECONDS)
            more = self.source.read(self.limits.messages - len(batch), timeout_seconds)
            if not more and remaining_seconds <= 0:
                return
            batch += more
            room_bytes -= sum(len(message.body) for message in more)

    def _begin(self, messages: list[Message]) -> None:
        """Hand a batch over."""
        with self._changed:
            self._in_hand += 1
        earlier, self._concluded = self._concluded, Future()
        self._pool.submit(self._process, messages, earlier, self._concluded)

    def _process(self, messages: list[Message], earlier: Future[None] | None, concluded: Future[None]) -> None:
        """Handle a batch, conclude it once the one before it is concluded, and store the offset."""
        first, last = messages[0], messages[-1]
        try:
            handled = self.handle(messages)
            if earlier:
                earlier.result()
            handled.conclude()
            self._to_store = last.stands_at
            concluded.set_result(None)
            self._store()
            self.source.finish(messages, handled.rejected)
        except Superseded as event:
            if not self._superseded.is_set():
                logger.warning("%s; what is in hand is left to it", event)
            self._superseded.set()
            _fail(concluded, event)
        except Abandoned as error:
            logger.warning("%s: offsets %d to %d are left for the next start", self.name, first.position, last.position)
            self.stop.set()
            _fail(concluded, error)
        except BaseException:
            # Nobody looks at the future of the pool: without this, a bug would silently hold the offset for ever.
            logger.critical("%s: stopping at a bug", self.name, exc_info=True)
            self.stop.set()
            _fail(concluded, Abandoned())
            raise
        finally:
            self.slots.release()
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def _store(self) -> None:
        """Store the offset of the last batch that is concluded, unless another thread has just done so."""
        with self._storing:
            position = self._to_store
            if position is not None and position != self._stored:
                self.progress.store(position)
                self._stored = position
                OFFSET.labels(self.name).set(position.offset)


def _fail(concluded: "Future[None]", error: BaseException) -> None:
    """Have the batches behind this one fail too, if they still wait for it."""
    if not concluded.done():
        concluded.set_exception(error)
