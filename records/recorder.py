"""Recording in the background, so that an answer waits for no database."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from process.backoff import Backoff
from process.turns import NoTurn, Turns
from records.mongo import Records, RecordsUnavailable
from records.spool import Spool, SpoolFile

logger = logging.getLogger("recorder")

BATCH_RECORDS = 250  # larger ones are no faster, and the driver takes 2 kB a record meanwhile
BATCH_BYTES = 250_000
BATCH_WAIT_SECONDS = 0.2
MOST_WAITING = 1000  # of those who want room, each with its request in hand


@dataclass(eq=False)
class _Batch:
    """Records that are written together, as BSON one after the other."""

    file: SpoolFile | None = None
    content: bytearray = field(default_factory=bytearray)
    records: int = 0

    def is_full(self) -> bool:
        return self.records >= BATCH_RECORDS or len(self.content) >= BATCH_BYTES


class RecordsFull(Exception):
    """So many records wait to be written that no more are taken."""

    def __init__(self, waiting: int) -> None:
        """Say so; waiting: how many there are."""
        super().__init__(f"Nothing can be recorded now, {waiting} records wait to be written; try again.")


class BatchRecorder:
    """Writes predictions in batches from a bounded queue, in two threads of its own.

    While one waits for MongoDB, the other one gathers the next batch and sends it: with one, this process and the
    server waited for each other, and answered a fifth less.

    Records wait as BSON, in a quarter of the memory of dictionaries, and in pieces large enough for the allocator to
    give back; `waiting` is how many they are. While MongoDB is away, they wait and the write is tried again, with
    back-off and jitter. Whoever brings more asks for room first, waits while there is none, and may be refused. With a
    spool, what waits outlives a process that is killed: the next one with that spool writes it.
    """

    def __init__(
        self,
        records: Records,
        *,
        spool: Spool | None = None,
        queue_bytes: int = 2_000_000,
        wait_seconds: float = 5.0,
        on_written: Callable[[int], None] = lambda count: None,
        on_refused: Callable[[], None] = lambda: None,
        on_lost: Callable[[int], None] = lambda count: None,
        on_drained: Callable[[], None] = lambda: None,
    ) -> None:
        """Write to `records`.

        queue_bytes: how large the records that wait may be together, until there is no room.
        wait_seconds: how long whoever wants room waits for a turn, and then for room.
        on_written, on_lost: told how many records were written, or were left at the end.
        on_refused: told that somebody found no room.
        on_drained: called when nothing waits any more, after more than one batch did.
        """
        self._records = records
        self._spool = spool
        self._queue: deque[_Batch] = deque()
        self._room_bytes = queue_bytes
        self._wait_seconds = wait_seconds
        self.waiting = 0
        self._lock = threading.Lock()
        self._turns = Turns(most_waiting=MOST_WAITING, wait_seconds=wait_seconds)
        self._room = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = threading.Event()
        self._on_written = on_written
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._on_drained = on_drained
        self._ensure_indexes = cache(records.ensure_indexes)  # until it has worked once: errors are not kept
        self._backlog = False
        self._gathering = threading.Lock()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._writers = [
            threading.Thread(target=target, name=f"recorder-{target.__name__}", daemon=True)
            for target in (self._write_left_and_all, self._write_all)
        ]

    def start(self) -> None:
        """Begin to write."""
        for writer in self._writers:
            writer.start()

    def has_room(self) -> bool:
        """Whether records may be brought."""
        return self._room_bytes > 0

    async def room(self) -> None:
        """Return once there is room, to each in turn; raises RecordsFull. For one event loop."""
        if self.has_room() and not self._turns.taken:
            return
        try:
            async with self._turns.turn(), asyncio.timeout(self._wait_seconds):
                self._loop = asyncio.get_running_loop()
                self._room.clear()
                while not self.has_room():
                    await self._room.wait()
                    self._room.clear()
        except (NoTurn, TimeoutError) as error:
            self._on_refused()
            raise RecordsFull(self.waiting) from error

    def record(self, encoded: Sequence[bytes]) -> None:
        """Take records, as BSON, to be written soon, whether or not there is room."""
        rest = deque(encoded)
        with self._lock:
            while rest:
                if not self._queue or self._queue[-1].is_full():
                    self._queue.append(_Batch(self._new_file()))
                self._fill(self._queue[-1], rest)
            if not self._filled.is_set():
                self._filled.set()

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, for at most `timeout_seconds`, and stop; what is left then is in the spool, or lost."""
        self._deadline = time.monotonic() + timeout_seconds
        self._closing.set()
        self._filled.set()  # wakes whoever waits for records
        for writer in self._writers:
            writer.join(max(0.0, self._deadline + BATCH_WAIT_SECONDS - time.monotonic()))
        if left := self.waiting:
            logger.error("%d records could not be written before the end", left)
            if self._spool is None:
                self._on_lost(left)

    def _fill(self, batch: _Batch, rest: deque[bytes]) -> None:
        """Move records into a batch until it is full."""
        begin = len(batch.content)
        while rest and not batch.is_full():
            batch.content += rest.popleft()
            batch.records += 1
            self.waiting += 1
        self._room_bytes -= len(batch.content) - begin
        if batch.file:
            try:
                batch.file.append(bytes(batch.content[begin:]))
            except OSError as error:
                self._do_without_spool(error)

    def _new_file(self) -> SpoolFile | None:
        try:
            return self._spool.create() if self._spool else None
        except OSError as error:
            self._do_without_spool(error)
            return None

    def _do_without_spool(self, error: OSError) -> None:
        """Go on in memory alone: better than to answer nobody."""
        if self._spool:
            logger.error("the spool can't be written, records wait in memory alone: %s", error)
        self._spool = None

    def _write_left_and_all(self) -> None:
        """Write what processes before this one could not, then as the other one."""
        if self._write_what_was_left():
            self._write_all()

    def _write_all(self) -> None:
        """Write batches until closing leaves none, or runs out of time."""
        backoff = _backoff()
        while batch := self._next_batch():
            if not self._write(batch, backoff):
                return
            if batch.file:
                batch.file.remove()
            self._on_written(batch.records)
            with self._lock:
                self.waiting -= batch.records
                self._room_bytes += len(batch.content)
                drained = self._backlog and not self.waiting
                if drained:
                    self._backlog = False
            self._tell_of_room()
            if drained:
                self._on_drained()

    def _write_what_was_left(self) -> bool:
        """Write that; False where closing ran out of time."""
        backoff = _backoff()
        try:
            for file in self._spool.left_behind() if self._spool else ():
                documents = file.documents()
                if documents and not self._write(_Batch(None, bytearray().join(documents)), backoff):
                    file.close()
                    return False
                file.remove()
                self._on_written(len(documents))
                logger.info("%d records of a process that had ended are written", len(documents))
        except OSError as error:
            self._do_without_spool(error)
        return True

    def _tell_of_room(self) -> None:
        """Have whoever waits for room look again."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)

    def _next_batch(self) -> _Batch | None:
        """Wait for records and return a batch of them; None when closing and none are left."""
        with self._gathering:
            while True:
                self._filled.wait()
                if not (self._queue and self._queue[0].is_full()):
                    # A short wait lets a batch fill; whoever closes does not want to wait.
                    self._closing.wait(BATCH_WAIT_SECONDS)
                with self._lock:
                    batch = self._queue.popleft() if self._queue else None
                    if batch:
                        self._backlog = self._backlog or self.waiting > batch.records
                    if batch or self._closing.is_set():
                        return batch
                    self._filled.clear()

    def _write(self, batch: _Batch, backoff: Backoff) -> bool:
        """Write one batch, trying until it works; False where closing ran out of time."""
        while True:
            try:
                self._ensure_indexes()
                self._records.insert_encoded_predictions(batch.content)
            except RecordsUnavailable as error:
                if time.monotonic() >= self._deadline:
                    return False
                logger.warning("%s; %d records wait", error, self.waiting)
                # Closing cuts the wait short; from then on the driver's own time limits pace the attempts.
                self._closing.wait(backoff.failed())
            else:
                backoff.worked()
                return True


def _backoff() -> Backoff:
    return Backoff(first_seconds=0.5, longest_seconds=10)
