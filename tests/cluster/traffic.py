"""Reviews that are written to the partitions of a super stream while nodes die, each until it is confirmed."""

import itertools
import queue
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from rstream import AMQPMessage, Properties, schema

from messages.ports import BrokerUnavailable, Outgoing
from messages.publisher import AmqpPublisher
from messages.stream_client import StreamConnection
from tests.cluster.bridges import BLAME, PRAISE

TOGETHER = 20
CONFIRM_TIMEOUT_SECONDS = 15
RETRY_SECONDS = 0.5
# The header of AMQP 1.0 that asks for durable replies.
DURABLE = b"\x00Sp\xc0\x02\x01A"
BAD_BODIES = (b'{"text": ', b"\xff\xfe\xfd", b"", b"x" * 100_001, b'{"text": 7}')


class Review(NamedTuple):
    """A message to be written; id: `<partition>/<number>`, its correlation id where it can have one.

    entry: what it is in the stream where it is no message of AMQP 1.0 that could be read. either: it may be used or
    parked.
    """

    id: str
    partition: str
    body: bytes
    content_type: str
    reply_to: str
    bad: bool = False
    entry: bytes | None = None
    either: bool = False


def reviews(partitions: Sequence[str], reply_to: str, seed: int) -> Iterator[Review]:
    """Yield reviews without end, of which one in a hundred is bad."""
    chance = random.Random(seed)
    for number in itertools.count():
        partition = chance.choice(partitions)
        review = Review(f"{partition}/{number}", partition, b"", "application/json", reply_to)
        if number % 100 == 37:
            kind = number // 100 % (len(BAD_BODIES) + 3)
            if kind < len(BAD_BODIES):
                yield review._replace(body=BAD_BODIES[kind], content_type="", bad=True)
            else:
                yield review._replace(bad=True, entry=unreadable(kind - len(BAD_BODIES), number))
            continue
        words = " ".join(chance.choices(PRAISE if chance.random() < 0.5 else BLAME, k=3))
        if chance.random() < 0.5:
            yield review._replace(body=f'{{"text": "{words} {number}"}}'.encode())
        else:
            yield review._replace(body=f"{words} {number}".encode(), content_type="text/plain")


def unreadable(kind: int, number: int) -> bytes:
    """Return an entry that can't be read: data that end too early, a value that is a number, a sequence."""
    content = str(number).encode()
    if kind == 0:
        return b"\x00Su\xa0\xff" + content
    if kind == 1:
        return b"\x00Sw\x70" + number.to_bytes(4, "big")
    return b"\x00Sv\xc0" + bytes([len(content) + 3, 1, 0xA0, len(content)]) + content


class Traffic:
    """Writes reviews by AMQP 0.9.1 and by the stream protocol, in a thread for each, to one node and then another.

    A batch that is not confirmed as a whole is written again: messages may be in the stream more than once.
    """

    def __init__(self, addresses: Sequence[tuple[str, str]], source: Iterator[Review]) -> None:
        """Write what `source` yields to nodes with these AMQP and stream URLs."""
        self._source = source
        self._confirmed: dict[str, Review] = {}
        self._asked: set[str] = set()
        self._changed = threading.Condition()
        self._end = threading.Event()
        self.problems: list[str] = []
        self._amqp: queue.Queue[Sequence[Review]] = queue.Queue()
        self._stream: queue.Queue[Sequence[Review]] = queue.Queue()
        amqp, stream = _ByAmqp([url for url, _ in addresses]), _ByStream([url for _, url in addresses])
        self._threads = [
            threading.Thread(target=self._write, args=(self._amqp, amqp.send, amqp.close)),
            threading.Thread(target=self._write, args=(self._stream, stream.send, stream.close)),
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write while the block runs; what is asked for at its end need not be written."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in self._threads:
                thread.join()

    def burst(self, count: int) -> None:
        """Have so many more messages written."""
        self.write(list(itertools.islice(self._source, count)))

    def write(self, found: Sequence[Review]) -> None:
        """Have these messages written, a third of them by AMQP."""
        self._asked.update(review.id for review in found)
        in_partitions = defaultdict(list)
        for review in found:
            in_partitions[review.partition].append(review)
        # Of each partition one after the other.
        batches = [
            group[first : first + TOGETHER]
            for first in range(0, len(found), TOGETHER)
            for group in in_partitions.values()
            if first < len(group)
        ]
        for number, batch in enumerate(batches):
            raw = number % 3 or any(review.entry for review in batch)
            (self._stream if raw else self._amqp).put(batch)

    def wait(self, timeout_seconds: float) -> bool:
        """Return whether all that was asked for is confirmed in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._confirmed) == len(self._asked), timeout_seconds)

    def confirmed(self) -> dict[str, Review]:
        """Return the messages that the broker has taken, by id."""
        with self._changed:
            return dict(self._confirmed)

    def counts(self) -> Counter[str]:
        """Return how many messages at least each partition has."""
        return Counter(review.partition for review in self.confirmed().values())

    def _write(
        self,
        batches: "queue.Queue[Sequence[Review]]",
        send: Callable[[Sequence[Review]], None],
        close: Callable[[], None],
    ) -> None:
        while not self._end.is_set():
            with suppress(queue.Empty):
                batch = batches.get(timeout=0.1)
                while not self._end.is_set():
                    try:
                        send(batch)
                        break
                    except BrokerUnavailable as problem:
                        self.problems.append(str(problem))
                        self._end.wait(RETRY_SECONDS)
                else:
                    break
                with self._changed:
                    self._confirmed |= {review.id: review for review in batch}
                    self._changed.notify_all()
        close()


class _ByAmqp:
    """Writes with pika."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = itertools.cycle(urls)
        self._publisher: AmqpPublisher | None = None

    def send(self, batch: Sequence[Review]) -> None:
        """Raises BrokerUnavailable where not all are confirmed."""
        publisher = self._publisher = self._publisher or AmqpPublisher(next(self._urls))
        try:
            publisher.publish(
                [
                    Outgoing(
                        review.partition,
                        review.body,
                        correlation_id=review.id,
                        message_id=review.id,
                        reply_to=review.reply_to,
                        content_type=review.content_type,
                        persistent=True,
                    )
                    for review in batch
                ]
            )
        except BrokerUnavailable:
            self.close()
            raise

    def close(self) -> None:
        if self._publisher:
            self._publisher.close()
            self._publisher = None


class _ByStream:
    """Writes entries that rstream encodes, or that nobody could read, to the leader of each partition."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = itertools.cycle(urls)
        self._url = next(self._urls)
        self._numbers = itertools.count(1)
        self._connections: dict[str, StreamConnection] = {}
        self._waiting: set[int] = set()
        self._reason = ""
        self._changed = threading.Condition()

    def send(self, batch: Sequence[Review]) -> None:
        """Raises BrokerUnavailable where not all are confirmed."""
        self._waiting, self._reason = set(), ""
        try:
            connection = self._connection(batch[0].partition)
            messages = [schema.Message(next(self._numbers), None, _encoded(review)) for review in batch]
            self._waiting = {message.publishing_id for message in messages}
            connection.publish(0, messages)
            with self._changed:
                self._changed.wait_for(lambda: self._reason or not self._waiting, CONFIRM_TIMEOUT_SECONDS)
                if self._waiting:
                    raise BrokerUnavailable(self._reason or "not confirmed in time")
        except BrokerUnavailable:
            self.close()
            self._url = next(self._urls)
            raise

    def _connection(self, partition: str) -> StreamConnection:
        connection = self._connections.get(partition)
        if connection is None or connection.closed:
            connection = StreamConnection(self._url, partition, "test", self._gone, writes=True)
            connection.on(schema.PublishConfirm, self._on_confirm)
            connection.on(schema.PublishError, lambda frame: self._gone(str(frame)))
            connection.declare_publisher(0, "")
            self._connections[partition] = connection
        return connection

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()

    # In the I/O thread.

    def _on_confirm(self, frame: schema.PublishConfirm) -> None:
        with self._changed:
            self._waiting.difference_update(frame.publishing_ids)
            self._changed.notify_all()

    def _gone(self, reason: str) -> None:
        with self._changed:
            self._reason = reason or "gone"
            self._changed.notify_all()


def _encoded(review: Review) -> bytes:
    if review.entry is not None:
        return review.entry
    properties = Properties(
        message_id=review.id.encode(),
        correlation_id=review.id.encode(),
        reply_to=review.reply_to.encode(),
        content_type=review.content_type.encode() or None,
    )
    return DURABLE + bytes(AMQPMessage(body=review.body, properties=properties))
