"""From a source, in batches, to a handler, several at a time; finished in the order they were read."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from messages.ports import BrokerUnavailable, Message, Source
from process.backoff import Backoff
from process.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Abandoned, Retry
from records import RecordsUnavailable

logger = logging.getLogger(__name__)

READ_TIMEOUT_SECONDS = 0.5
Handler = Callable[[list[Message]], frozenset[int]]


class OffsetStore(Protocol):
    """Where is remembered how far a source is done. Its methods raise RecordsUnavailable."""

    def offset(self, name: str) -> int | None:
        """Return the offset of the last message of the source `name` that is done, None if there is none."""

    def store_offset(self, name: str, offset: int) -> None:
        """Remember that all messages up to `offset` are done."""


@dataclass(frozen=True)
class BatchLimits:
    """A batch is closed at the first of these that it reaches.

    messages and bytes: how many, and how many bytes of bodies together.
    wait_seconds: time since its first message.
    """

    messages: int = 1000
    bytes: int = 4 * 1024 * 1024
    wait_seconds: float = 0.005


@dataclass
class _Batch:
    messages: list[Message]
    rejected: frozenset[int] = field(default_factory=frozenset)
    handled: bool = False


class Pipeline:
    """Moves messages from a source through a handler.

    The handler gets a batch and returns the positions of the bad messages in it, once all it has to do for the
    batch is durable. Only then, and only when all earlier batches are handled too, is the offset stored: so a
    crash at any point repeats work, and loses none.
    """

    def __init__(
        self,
        source: Source,
        handle: Handler,
        offsets: OffsetStore,
        retry: Retry,
        *,
        limits: BatchLimits | None = None,
        in_flight: int = 4,
        on_connected: Callable[[bool], None] = lambda connected: None,
        on_retry: Callable[[str], None] = lambda error: None,
        on_offset: Callable[[int], None] = lambda offset: None,
    ) -> None:
        """Read `source`, with at most `in_flight` batches in the handler at a time.

        on_connected is told when reading begins or breaks off; on_retry, by which error it broke off; on_offset, which
        offset was stored.
        """
        self.name = source.name
        self._source = source
        self._handle = handle
        self._offsets = offsets
        self._retry = retry
        self._limits = limits or BatchLimits()
        self._in_flight = in_flight
        self._on_connected = on_connected
        self._on_retry = on_retry
        self._on_offset = on_offset
        self._slots = threading.Semaphore(in_flight)
        self._order: deque[_Batch] = deque()
        self._order_lock = threading.Lock()
        self._left_over: list[Message] = []
        self._last_read: int | None = None
        self._failed = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what was read, and close the source.

        Whatever the retry policy abandons by then stays unfinished: its offset is not stored.
        """
        try:
            self._last_read = self._retry(lambda: self._offsets.offset(self._source.name), RecordsUnavailable)
        except Abandoned:
            return
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        with ThreadPoolExecutor(self._in_flight, f"{self._source.name}-batch") as pool:
            while not stop.is_set() and not self._failed.is_set():
                try:
                    self._open()
                    backoff.worked()
                    self._read_until(stop, pool)
                except BrokerUnavailable as error:
                    wait_seconds = backoff.failed()
                    self._on_connected(False)
                    self._on_retry(type(error).__name__)
                    logger.warning("%s: %s; reading resumes in %.1f s", self._source.name, error, wait_seconds)
                    stop.wait(wait_seconds)
        self._source.close()
        self._on_connected(False)

    def _open(self) -> None:
        self._left_over = []
        self._source.open(self._last_read)
        self._on_connected(True)
        logger.info("%s: reading behind offset %s", self._source.name, self._last_read)

    def _read_until(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        while not stop.is_set() and not self._failed.is_set():
            if not self._slots.acquire(timeout=READ_TIMEOUT_SECONDS):
                continue
            messages: list[Message] = []
            try:
                messages = self._next_batch()
            finally:
                if not messages:
                    self._slots.release()
            if messages:
                self._last_read = messages[-1].position
                batch = _Batch(messages)
                with self._order_lock:
                    self._order.append(batch)
                pool.submit(self._process, batch)

    def _next_batch(self) -> list[Message]:
        limits = self._limits
        batch = self._left_over or self._source.read(limits.messages, READ_TIMEOUT_SECONDS)
        self._left_over = []
        deadline = time.monotonic() + limits.wait_seconds
        while (
            batch
            and len(batch) < limits.messages
            and (remaining_seconds := deadline - time.monotonic()) > 0
            and sum(len(message.body) for message in batch) < limits.bytes
        ):
            batch += self._source.read(limits.messages - len(batch), remaining_seconds)
        return self._within_bytes(batch)

    def _within_bytes(self, batch: list[Message]) -> list[Message]:
        """Cut a batch where its bodies become too large together; a single one may be larger."""
        total = 0
        for index, message in enumerate(batch):
            total += len(message.body)
            if index and total > self._limits.bytes:
                self._left_over = batch[index:]
                return batch[:index]
        return batch

    def _process(self, batch: _Batch) -> None:
        try:
            batch.rejected = self._handle(batch.messages)
            batch.handled = True
            self._finish_in_order()
        except Abandoned:
            logger.warning(
                "%s: offsets %d to %d are left for the next start",
                self._source.name,
                batch.messages[0].position,
                batch.messages[-1].position,
            )
            self._failed.set()
        except BaseException:
            # Nobody looks at the future: without this, a bug would silently hold the offset for ever.
            logger.critical("%s: stopping at a bug", self._source.name, exc_info=True)
            self._failed.set()
            raise
        finally:
            self._slots.release()

    def _finish_in_order(self) -> None:
        with self._order_lock:
            done = list(takewhile(lambda batch: batch.handled, self._order))
            if not done:
                return
            offset = done[-1].messages[-1].position
            self._retry(lambda: self._offsets.store_offset(self._source.name, offset), RecordsUnavailable)
            for batch in done:
                self._source.finish(batch.messages, batch.rejected)
                self._order.popleft()
            self._on_offset(offset)
