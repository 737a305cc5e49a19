"""Streams of RabbitMQ as sources, read by the stream protocol.

Of all that read a stream as one group, the broker chooses one to be active (single active consumer, RabbitMQ 3.11 and
later); with an older broker an exclusive queue is the lock. The others stand by.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import unquote

from rstream import schema

from contracts.limits import MAX_ID_CHARACTERS
from messages.amqp10 import Unreadable, decode, short
from messages.chunks import Chunk, entries
from messages.lock import ReaderLock
from messages.ports import BrokerUnavailable, Epoch, Message, Place, Position, Progress, Source, Superseded
from messages.stream_client import FIRST, LAST, NEXT, SHARED_SINCE, StreamConnection, at_offset
from messages.stream_connection import Subscription

logger = logging.getLogger(__name__)

BUFFER_BYTES = 4 * 1024 * 1024
MAX_CREDIT = 200
LOCK_RETRY_SECONDS = 1.0
PROBE_SECONDS = 1.0
# Numbers of subscriptions on one connection.
READING, ASKING = 0, 1


@dataclass(frozen=True)
class Group:
    """Who shares a stream: one reader of the name is active at a time.

    amqp_url: where the lock is, at a broker that chooses no active reader. super_stream: whose partition the stream
    is; then the broker spreads the partitions over the readers.
    """

    name: str
    amqp_url: str = field(repr=False)
    super_stream: str | None = None


class StreamSource(Source):
    """Reads a stream, about `buffer_bytes` ahead, or a chunk where one is larger."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        group: Group | None = None,
        from_end: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Read the stream `name` at the broker with that stream URL.

        group: who shares it, None to read it alone. from_end: begin with what comes next, whatever was read before.
        """
        self.name = name
        self._url = url
        self._group = group
        self._from_end = from_end
        self._buffer_bytes = buffer_bytes
        self._lock = ReaderLock(group.amqp_url, name) if group else None
        self._changed = threading.Condition()
        self._questions = threading.Lock()
        self._connection: StreamConnection | None = None
        self._progress: Progress | None = None
        self._measuring: StreamConnection | None = None
        self._owed_answer: int | None = None
        self._paused = False
        self._told = False  # that it waits
        self._reset()

    def open(self, progress: Progress | None = None) -> None:
        """Connect anew, and read once it is this reader's turn; raises BrokerUnavailable.

        progress: may be None where what was read before is of no interest.
        """
        self.close()
        self._reset()
        self._progress = progress
        connection = self._connection = StreamConnection(self._url, self.name, f"{self.name}-reader", self._on_gone)
        connection.on(schema.MetadataUpdate, lambda _: self._on_gone("the stream was deleted, or has a new leader"))
        if self._group is None:
            self._begin()
        elif connection.version >= SHARED_SINCE:
            self._lock = None
            properties = {"single-active-consumer": "true", "name": self._group.name}
            if self._group.super_stream:
                properties["super-stream"] = self._group.super_stream
            connection.on(schema.ConsumerUpdateResponse, self._on_update)
            self._credit = 1
            connection.subscribe(READING, FIRST, Subscription(self._on_chunk), self._credit, properties)

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Return what has arrived, or does in time; raises BrokerUnavailable, Superseded."""
        if self._connection is None:
            raise BrokerUnavailable("RabbitMQ: not connected")
        deadline = time.monotonic() + timeout_seconds
        messages = list(islice(self._messages, limit))
        while not messages:
            self._attend()
            while len(messages) < limit and self._next_chunk():
                messages += islice(self._messages, limit - len(messages))
            left_seconds = deadline - time.monotonic()
            if messages or left_seconds <= 0:
                break
            with self._changed:
                # A lock tells nobody that it is free, or lost.
                wait_seconds = min(left_seconds, LOCK_RETRY_SECONDS) if self._lock else left_seconds
                self._changed.wait_for(lambda: self._chunks or self._updates or self._reason, wait_seconds)
        if self._group and not (messages or self._active or self._lock or self._told):
            logger.info("%s is read by another bridge; this one waits for its turn", self.name)
            self._told = True
        return messages

    def stand_by(self) -> None:
        """Let the reader go on whose turn it is now."""
        if self._connection and self._owed_answer is not None:
            self._connection.answer_update(self._owed_answer, NEXT)
            self._owed_answer = None

    def finish(self, positions: Sequence[int], rejected: frozenset[int]) -> None:
        """Do nothing: a stream keeps its messages and takes no notice of who is done with them."""

    def end(self) -> int | None:
        """Return the offset behind the last message, None while it is not this reader's turn; raises BrokerUnavailable.

        Takes PROBE_SECONDS where the stream is empty: nothing says so.
        """
        if not self._active:
            return None
        chunk = self._ask(LAST)
        return chunk.end if chunk else 0

    def close(self) -> None:
        """Close the connection, where there is one, and let another reader have its turn."""
        self._active = False
        for connection in (self._connection, self._measuring):
            if connection:
                connection.close()
        self._connection = self._measuring = None
        if self._lock:
            self._lock.release()

    def _ask(self, where: schema.OffsetSpec) -> Chunk | None:
        """Return the head of the first chunk from there; raises BrokerUnavailable.

        By a connection for questions, since the one that reads may be paused.
        """
        with self._questions:
            if self._measuring is None or self._measuring.closed:
                self._measuring = StreamConnection(self._url, self.name, f"{self.name}-questions", lambda _: None)
            return _chunk_at(self._measuring, where)

    def _reset(self) -> None:
        self._reason = ""
        self._active = False
        self._updates: deque[tuple[int, bool]] = deque()
        self._told = False
        self._owed_answer = None
        self._lock_tried_at = 0.0
        self._epoch: Epoch | None = None
        self._next = 0
        self._lost: Position | None = None
        self._credit = 0
        self._largest_bytes = 1.0
        self._forget()

    def _forget(self) -> None:
        """Drop what has arrived and was not read."""
        self._chunks: deque[Chunk] = deque()
        self._messages: Iterator[Message] = iter(())
        self._buffered_bytes = 0
        if self._paused and self._connection:
            self._connection.resume()
        self._paused = False

    # In the I/O thread.

    def _on_gone(self, reason: str) -> None:
        with self._changed:
            self._reason = self._reason or reason
            self._changed.notify_all()

    def _on_update(self, frame: schema.ConsumerUpdateResponse) -> None:
        with self._changed:
            self._updates.append((frame.correlation_id, bool(frame.active)))
            self._changed.notify_all()

    def _on_chunk(self, chunk: Chunk) -> None:
        with self._changed:
            self._chunks.append(chunk)
            self._credit -= chunk.ends
            self._buffered_bytes += len(chunk.data)
            if not chunk.ends and self._buffered_bytes > self._buffer_bytes and self._connection:
                self._paused = True
                self._connection.pause()
            self._changed.notify_all()

    # Turns.

    def _attend(self) -> None:
        """See to what decides whether to read; raises BrokerUnavailable, Superseded."""
        if self._reason:
            raise BrokerUnavailable(f"RabbitMQ: {self.name}: {self._reason}")
        if self._lock and self._active and not self._lock.held:
            raise BrokerUnavailable(f"RabbitMQ: {self.name}: the lock of its reader was lost")
        if self._updates:
            self._take_turns(*self._updates.popleft())
        elif self._lock and not self._active:
            self._try_lock()

    def _take_turns(self, correlation_id: int, active: bool) -> None:
        """Do as the broker says; raises Superseded where another reader's turn comes."""
        connection = self._connection
        self._active = active
        if connection and active:
            connection.answer_update(correlation_id, self._where(connection))
            self._have_one_sent(connection)
        else:
            self._owed_answer = correlation_id
            self._told = True
            self._forget()
            raise Superseded(f"{self.name}: another bridge reads it from now on")

    def _have_one_sent(self, connection: StreamConnection) -> None:
        """Have a chunk delivered, for the others to follow.

        From turn to turn the broker remembers how many it may send: none, where it had sent all in an earlier turn.
        """
        with self._changed:
            missing = self._credit < 1
            self._credit += missing
        if missing:
            connection.credit(READING, 1)

    def _try_lock(self) -> None:
        """Begin to read where no other process does."""
        if self._lock is None or time.monotonic() - self._lock_tried_at < LOCK_RETRY_SECONDS:
            return
        if self._lock.acquire():
            self._begin()
        elif not self._lock_tried_at:
            logger.warning(
                "%s is read by another bridge; this one waits until that one ends. RabbitMQ 3.11 and later share the "
                "partitions of a super stream between bridges",
                self.name,
            )
        self._lock_tried_at = time.monotonic()

    def _begin(self) -> None:
        """Begin to read, without a broker that says when."""
        if (connection := self._connection) is None:
            return
        where = NEXT if self._from_end else self._where(connection)
        self._active = True
        self._credit = 1
        connection.subscribe(READING, where, Subscription(self._on_chunk), self._credit)

    def _where(self, connection: StreamConnection) -> schema.OffsetSpec:
        """Return where to read on; what was read before may be of a stream that is no more.

        Raises BrokerUnavailable.
        """
        self._epoch, self._next, self._lost = None, 0, None
        position = self._progress.take() if self._progress else None
        while position:
            chunk = _chunk_at(connection, at_offset(position.offset))
            if chunk and chunk.first > position.offset:
                self._note_gap(position.offset + 1, chunk.first)
                return self._read_on(position.epoch, chunk.first)
            if chunk and chunk.end > position.offset and position.chunk_time in (None, chunk.timestamp):
                return self._read_on(position.epoch, position.offset + 1)
            if chunk:
                return FIRST  # at this offset, another stream has another chunk
            if (last := _chunk_at(connection, LAST)) is None:
                self._lost = position  # the first chunk that comes will tell
                return FIRST
            if last.end <= position.offset:
                first = _chunk_at(connection, FIRST)
                if first is None or first.timestamp > (position.chunk_time or 0):
                    return FIRST
                # A broker that lost its power has lost the end of the same stream: its offsets are given anew.
                logger.error("%s ends before offset %d, which was read: its end is lost", self.name, position.offset)
                self._next = last.end
                return at_offset(last.end)
            # It has the offset, and did not answer in time.
        return FIRST

    def _read_on(self, epoch: Epoch, offset: int) -> schema.OffsetSpec:
        self._epoch, self._next = epoch, offset
        return at_offset(offset)

    def _note_gap(self, first: int, after: int) -> None:
        if after > first and self._progress:
            self._progress.missed(first, after)

    # Messages.

    def _next_chunk(self) -> bool:
        """Go on with the next chunk that has arrived, if one has, and have more delivered where there is room."""
        with self._changed:
            if not self._chunks or self._connection is None:
                return False
            chunk = self._chunks.popleft()
            self._buffered_bytes -= len(chunk.data)
            if self._paused and self._buffered_bytes <= self._buffer_bytes // 2:
                self._paused = False
                self._connection.resume()
            self._largest_bytes = max(chunk.size, self._largest_bytes * 0.99)
            room = max(1, min(MAX_CREDIT, int(self._buffer_bytes / self._largest_bytes)))
            more = room - self._credit - len(self._chunks)
            # Not one by one: each time a thread is woken up.
            more = more if more > room // 2 or not self._credit else 0
            self._credit += max(more, 0)
        if more > 0:
            self._connection.credit(READING, more)
        self._messages = self._messages_of(chunk, self._epoch or self._begun(chunk))
        return True

    def _begun(self, chunk: Chunk) -> Epoch:
        """Return the epoch that begins with a chunk; raises BrokerUnavailable where it is of the one before."""
        lost = self._lost
        if lost and chunk.first <= lost.offset and chunk.timestamp <= (lost.chunk_time or 0):
            raise BrokerUnavailable(f"RabbitMQ: {self.name}: offset {lost.offset} was not delivered in time")
        self._next = max(self._next, chunk.first)
        began = chunk.first, chunk.timestamp
        self._epoch = self._progress.begin(*began) if self._progress else Epoch(chunk.timestamp, self.name)
        return self._epoch

    def _messages_of(self, chunk: Chunk, epoch: Epoch) -> Iterator[Message]:
        if chunk.first > self._next and self._connection:
            # What brokers write for themselves takes offsets too: only what is before the first is gone. This chunk is
            # here, though the broker may have dropped it meanwhile.
            first = self._ask(FIRST)
            self._note_gap(self._next, min(first.first, chunk.first) if first else chunk.first)
        place = Place(chunk.timestamp, epoch)
        prefix, next_offset = epoch.key_prefix, self._next
        self._next = max(chunk.end, next_offset)
        for offset, entry in enumerate(entries(chunk), chunk.first):
            if offset < next_offset:
                continue
            key = f"{prefix}:{offset}"
            if isinstance(entry, Unreadable):
                yield Message(offset, key, b"", place=place, problem=str(entry))
                continue
            try:
                body, message_id, correlation_id, reply_to, content_type, persistent, traceparent = decode(entry)
            except Unreadable as error:
                yield Message(offset, key, entry, place=place, problem=str(error))
                continue
            yield Message(
                offset,
                key,
                body,
                message_id and message_id[:MAX_ID_CHARACTERS],
                correlation_id and short(correlation_id),
                reply_to and short(_queue(reply_to)),
                content_type,
                persistent,
                place,
                None,
                traceparent,
            )


def _queue(address: str) -> str:
    """Return the queue that an address names: clients of AMQP 1.0 write `/queues/<name>`, escaped as in a URL."""
    return unquote(address[8:]) if address.startswith("/queues/") else address


def _chunk_at(connection: StreamConnection, where: schema.OffsetSpec) -> Chunk | None:
    """Return the head of the first chunk from there, None if there is none within PROBE_SECONDS.

    Raises BrokerUnavailable.
    """
    found: list[Chunk] = []
    came = threading.Event()

    def deliver(chunk: Chunk) -> None:
        found.append(chunk)
        came.set()

    connection.subscribe(ASKING, where, Subscription(deliver, only_heads=True), 1)
    came.wait(PROBE_SECONDS)
    connection.unsubscribe(ASKING)
    return found[0] if found else None
