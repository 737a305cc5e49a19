"""From a source, in batches, to a handler, several at a time; concluded in the order they were read."""

import logging
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from bridge.progress import StreamProgress
from bridge.settings import BatchLimits
from messages.ports import BrokerUnavailable, Message, Position, Source, Superseded
from process.backoff import Backoff
from process.functions import FunctionUnavailable
from process.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Abandoned, Retry
from records import RecordsUnavailable

logger = logging.getLogger(__name__)

CONNECTED = Gauge("bridge_connected", "1 while the source is read, or waited for", ["source"])
OFFSET = Gauge("bridge_offset", "Last offset stored, by source", ["source"])
LAG = Gauge("bridge_lag_messages", "Messages in the source that are not done, where this bridge reads it", ["source"])
RETRIES = Counter("bridge_retries", "Attempts that failed and were repeated, by error", ["error"])
# Shown at 0 from the start, here and elsewhere: Prometheus sees no increase in what was not there before.
for _error in (FunctionUnavailable, RecordsUnavailable, BrokerUnavailable):
    RETRIES.labels(_error.__name__)

READ_TIMEOUT_SECONDS = 0.5
IN_HAND_PER_SLOT = 3
"""How many batches of a source are in hand for each that may be handled: the others wait for their turn, or for one."""


EXPLAINED_TIMES = 30
"""How much longer than its text the answer to a review can be that asks for an explanation, about."""
SIGNS_OF_EXPLAIN = (b'"explain"', rb"\u006", rb"\u007")
"""One of them is in each message that asks so: JSON may write any of its letters as the number of a character."""


def _weight_bytes(message: Message) -> int:
    """Return what a message takes of a batch: its bytes, or those of its answer where it may ask for an explanation."""
    asks = any(map(message.body.__contains__, SIGNS_OF_EXPLAIN))
    return len(message.body) * EXPLAINED_TIMES if asks else len(message.body)


def count_retry(error: str) -> None:
    """Count an attempt that failed, by the name of its error."""
    RETRIES.labels(error).inc()


class Handled(NamedTuple):
    """A batch whose work is durable: the positions of the bad messages, and what is left to do in order of batches."""

    rejected: frozenset[int]
    conclude: Callable[[], None]


Handler = Callable[[list[Message]], Handled]


class _Batch(NamedTuple):
    """What stays of a batch that was handed over: its positions, where it ends, and what will come of it."""

    positions: Sequence[int]
    ends_at: Position | None
    handled: Future[Handled]


@dataclass(eq=False)
class Pipeline:
    """Moves messages from `source` through a handler until `stop` is set; `progress` remembers how far it is done.

    Batches are handled side by side, and concluded one after the other. Only then is the offset stored: so a crash at
    any point repeats work, and loses none. The broker itself remembers what is done of a queue. `slots` bound how many
    batches are handled at a time, over all pipelines that share them.
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
        self._handlers = ThreadPoolExecutor(self.limits.in_flight, f"{self.name}-batch")
        self._concluder = ThreadPoolExecutor(1, f"{self.name}-conclusion")
        self._changed = threading.Condition()
        self._in_hand: deque[_Batch] = deque()
        self._left: Superseded | Abandoned | None = None

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
            self._handlers.shutdown()
            self._concluder.shutdown()
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
        if not self._wait_for_room(1):
            return False
        self._left = None
        return True

    def _wait_for_room(self, most: int) -> bool:
        """Return True once fewer than `most` batches are in hand, or False at a stop."""
        with self._changed:
            while len(self._in_hand) >= most:
                if self.stop.is_set():
                    return False
                self._changed.wait(READ_TIMEOUT_SECONDS)
        return True

    def _batches(self) -> Iterator[list[Message]]:
        """Yield what is to be handled together, each with a slot for it, until `stop` is set.

        Raises BrokerUnavailable, Superseded.
        """
        left_over: list[Message] = []
        while not self.stop.is_set():
            if self._left and not self.stop.is_set():
                raise BrokerUnavailable(f"{self.name}: its offset is another bridge's")
            batch = left_over or self.source.read(self.limits.messages, READ_TIMEOUT_SECONDS)
            if not batch:
                continue
            self._fill(batch, self.limits.wait_seconds)
            if not self._wait_for_room(self.limits.in_flight * IN_HAND_PER_SLOT):
                return
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
            count = bisect_right(list(accumulate(map(_weight_bytes, batch))), self.limits.bytes) or 1
            left_over = batch[count:]
            yield batch[:count]

    def _fill(self, batch: list[Message], wait_seconds: float) -> None:
        """Add to a batch what comes in time, as long as there is room, and others are worked on meanwhile."""
        deadline = time.monotonic() + wait_seconds
        room_bytes = self.limits.bytes - sum(map(_weight_bytes, batch))
        while self._in_hand and not self.stop.is_set() and room_bytes > 0 and len(batch) < self.limits.messages:
            remaining_seconds = deadline - time.monotonic()
            timeout_seconds = min(max(remaining_seconds, 0), READ_TIMEOUT_SECONDS)
            more = self.source.read(self.limits.messages - len(batch), timeout_seconds)
            if not more and remaining_seconds <= 0:
                return
            batch += more
            room_bytes -= sum(map(_weight_bytes, more))

    def _begin(self, messages: list[Message]) -> None:
        """Hand a batch over; of its messages only the positions stay once they are handled."""
        positions, ends_at = [message.position for message in messages], messages[-1].stands_at
        handled = self._handlers.submit(self._handle, messages)
        with self._changed:
            self._in_hand.append(_Batch(positions, ends_at, handled))
        handled.add_done_callback(self._conclude_soon)

    def _handle(self, messages: list[Message]) -> Handled:
        try:
            return self.handle(messages)
        finally:
            self.slots.release()

    def _conclude_soon(self, _: Future[Handled]) -> None:
        self._concluder.submit(self._conclude)

    def _conclude(self) -> None:
        """Conclude what is handled, in the order it was read, store the offset behind it, and let go of it."""
        with self._changed:
            batches = list(takewhile(lambda batch: batch.handled.done(), self._in_hand))
        try:
            if self._left is None:
                self._conclude_all(batches)
        except Superseded as event:
            logger.warning("%s; what is in hand is left to it", event)
            self._left = event
        except Abandoned as error:
            self._left = error
            self.stop.set()
        except BaseException:
            # Nobody looks at the future of the pool: without this, a bug would silently hold the offset for ever.
            logger.critical("%s: stopping at a bug", self.name, exc_info=True)
            self._left = Abandoned()
            self.stop.set()
            raise
        finally:
            with self._changed:
                for _ in batches:
                    self._in_hand.popleft()
                self._changed.notify_all()

    def _conclude_all(self, batches: Sequence[_Batch]) -> None:
        """Conclude batches that are handled; at an error, store what was concluded before. Raises what handlers do."""
        done: list[tuple[_Batch, Handled]] = []
        try:
            for batch in batches:
                handled = batch.handled.result()
                handled.conclude()
                done.append((batch, handled))
        except Abandoned:
            first, last = batches[len(done)].positions[0], batches[-1].positions[-1]
            logger.warning("%s: offsets %d to %d are left for the next start", self.name, first, last)
            raise
        finally:
            if done:
                self._store(done[-1][0].ends_at)
            for batch, handled in done:
                self.source.finish(batch.positions, handled.rejected)

    def _store(self, position: Position | None) -> None:
        if position:
            self.progress.store(position)
            OFFSET.labels(self.name).set(position.offset)
