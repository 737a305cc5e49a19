"""Recording in the background, so that an answer waits for no database."""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from records.mongo import Records, RecordsUnavailable

logger = logging.getLogger("recorder")
Document = dict[str, Any]

QUEUE_DOCUMENTS = 20_000
BATCH_DOCUMENTS = 1_000
BATCH_WAIT_SECONDS = 0.2
BACK_OFF_SECONDS = (0.5, 10.0)


class BatchRecorder:
    """Writes predictions in batches from a bounded queue, in a thread of its own.

    While MongoDB is away, documents wait in the queue and the write is tried again, with back-off and jitter. When the
    queue is full, further documents are counted as lost, not waited for.
    """

    def __init__(
        self,
        records: Records,
        *,
        queue_documents: int = QUEUE_DOCUMENTS,
        on_written: Callable[[int], None] = lambda count: None,
        on_lost: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Write to `records`; the callbacks are told how many documents were written or lost."""
        self._records = records
        self._queue: queue.SimpleQueue[list[Document]] = queue.SimpleQueue()
        self._limit = queue_documents
        self._waiting = 0
        self._lock = threading.Lock()
        self._on_written = on_written
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many documents wait to be written."""
        return self._waiting

    def record(self, documents: list[Document]) -> None:
        """Take documents to be written soon; returns at once."""
        with self._lock:
            room = self._waiting + len(documents) <= self._limit
            if room:
                self._waiting += len(documents)
        if room:
            self._queue.put(documents)
        else:
            self._on_lost(len(documents))

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, for at most `timeout_seconds`, and stop; what is left then is counted as lost."""
        self._deadline = time.monotonic() + timeout_seconds
        self._closing.set()
        self._queue.put([])  # wakes the thread where it waits for documents
        self._thread.join(timeout_seconds + BATCH_WAIT_SECONDS)
        if lost := self.waiting:
            self._on_lost(lost)
            logger.error("%d records could not be written before the end", lost)

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            batch = self._next_batch()
            if batch:
                if not self._write(batch):
                    return
                with self._lock:
                    self._waiting -= len(batch)
                self._on_written(len(batch))

    def _next_batch(self) -> list[Document]:
        batch = list(self._queue.get())
        if self.waiting < BATCH_DOCUMENTS:
            # A short wait lets a batch fill; whoever closes does not want to wait.
            self._closing.wait(BATCH_WAIT_SECONDS)
        while len(batch) < BATCH_DOCUMENTS:
            try:
                batch.extend(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[Document]) -> bool:
        """Write one batch, trying until it works; False where closing ran out of time."""
        back_off_seconds, maximum_seconds = BACK_OFF_SECONDS
        while True:
            try:
                self._records.write_predictions(batch)
            except RecordsUnavailable as error:
                if time.monotonic() >= self._deadline:
                    return False
                logger.warning("%s; %d records wait", error, self.waiting)
                # Closing cuts the wait short; from then on the driver's own time limits pace the attempts.
                self._closing.wait(back_off_seconds * random.uniform(0.5, 1))  # noqa: S311 - jitter is no secret
                back_off_seconds = min(2 * back_off_seconds, maximum_seconds)
            else:
                return True
