"""Streams and queues of RabbitMQ as sources, read over AMQP."""

import threading
import uuid
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Literal, cast

from pika.channel import Channel
from pika.delivery_mode import DeliveryMode
from pika.spec import Basic, BasicProperties

from messages.amqp import CONNECT_TIMEOUT_SECONDS, Connection
from messages.ports import BrokerUnavailable, Message, Source

Arrived = tuple[int, Message]
"""A delivery tag, which names a message to the broker for as long as the connection lasts, and the message."""


class AmqpSource(Source):
    """What reading a stream and reading a queue share: a connection, and the messages that have arrived.

    The broker sends at most `prefetch` messages that are not acknowledged yet.
    """

    def __init__(self, url: str, name: str, *, prefetch: int) -> None:
        """Read `name` at the broker with that AMQP URL."""
        self.name = name
        self._url = url
        self._prefetch = prefetch
        self._arrived: deque[Arrived] = deque()
        self._changed = threading.Condition()
        self._connection: Connection | None = None

    @abstractmethod
    def _receive(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        """Take a message, in the I/O thread."""

    @abstractmethod
    def _handed_out(self, connection: Connection, taken: Sequence[Arrived]) -> None:
        """Note what `read` is about to return."""

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """See Source."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable("RabbitMQ: not connected")
        with self._changed:
            self._changed.wait_for(lambda: self._arrived or connection.closed, timeout_seconds)
            if not self._arrived and connection.closed:
                raise BrokerUnavailable(f"RabbitMQ: {connection.reason}")
            taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
            self._handed_out(connection, taken)
        return [message for _, message in taken]

    def close(self) -> None:
        """See Source."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _subscribe(self, arguments: dict[str, int | str] | None = None) -> None:
        """Connect anew and have messages sent; raises BrokerUnavailable."""
        self.close()
        self._arrived.clear()
        subscribed = threading.Event()

        def closed() -> None:
            subscribed.set()
            with self._changed:
                self._changed.notify_all()

        def consume() -> None:
            channel = connection.channel
            channel.add_on_cancel_callback(lambda _: connection.fail(OSError(f"{self.name} was deleted")))
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.basic_consume(self.name, self._receive, arguments=arguments, callback=lambda _: subscribed.set())

        connection = Connection(self._url, f"{self.name}-reader", closed)
        connection.open()
        connection.call(consume)
        if not subscribed.wait(CONNECT_TIMEOUT_SECONDS):
            connection.close()
        if connection.closed:
            raise BrokerUnavailable(f"RabbitMQ: reading {self.name}: {connection.reason}")
        self._connection = connection

    def _arrive(self, tag: int, message: Message) -> None:
        with self._changed:
            self._arrived.append((tag, message))
            self._changed.notify()


class StreamSource(AmqpSource):
    """Reads a stream. Whoever reads remembers how far it is done; `prefetch` is what may wait here unread."""

    def __init__(self, url: str, name: str, *, prefetch: int, start: Literal["first", "next"] = "first") -> None:
        """Read the stream `name`; start: where `open` begins that is given no offset."""
        super().__init__(url, name, prefetch=prefetch)
        self._start = start
        self._after: int | None = None

    def open(self, after: int | None) -> None:
        """See Source."""
        self._after = after
        self._subscribe({"x-stream-offset": self._start if after is None else after + 1})

    def _handed_out(self, connection: Connection, taken: Sequence[Arrived]) -> None:
        if taken:
            connection.call(partial(_send_more, connection, taken[-1][0]))

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """Do nothing: a stream keeps its messages and takes no notice of who is done with them."""

    def _receive(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        tag = cast(int, method.delivery_tag)
        # pika reads it as a subclass of int, which JSON encoders refuse.
        offset = int(cast(int, (properties.headers or {})["x-stream-offset"]))
        if self._after is not None and offset <= self._after:
            # The broker may begin at the start of a chunk.
            channel.basic_ack(tag)
        else:
            self._arrive(tag, _message(offset, f"{self.name}:{offset}", body, properties, offset))


def _send_more(connection: Connection, last_tag: int) -> None:
    """Have the broker send as many messages as have been read; of a stream that is all an acknowledgement does."""
    if connection.usable:
        connection.channel.basic_ack(last_tag, multiple=True)


class QueueSource(AmqpSource):
    """Reads a queue, which remembers itself what is finished; `prefetch` is what may be in hand, read or unread.

    What is rejected is not delivered again: the queue's dead-letter exchange gets it, where it has one.
    """

    def __init__(self, url: str, name: str, *, prefetch: int) -> None:
        """Read the queue `name`."""
        super().__init__(url, name, prefetch=prefetch)
        self._tags: dict[int, int] = {}
        self._position = 0

    def open(self, after: int | None) -> None:  # noqa: ARG002 - the queue knows
        """See Source."""
        with self._changed:
            # Those of an earlier connection say nothing on the next: the broker delivers their messages again.
            self._tags.clear()
        self._subscribe()

    def _handed_out(self, connection: Connection, taken: Sequence[Arrived]) -> None:  # noqa: ARG002 - see StreamSource
        self._tags |= {message.position: tag for tag, message in taken}

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """See Source."""
        connection = self._connection
        with self._changed:
            tags = [(self._tags.pop(each.position, None), each.position in rejected) for each in messages]
        if connection:
            connection.call(partial(_settle, connection, [(tag, bad) for tag, bad in tags if tag is not None]))

    def _receive(self, _: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._position += 1
        key = f"{self.name}:{properties.message_id or uuid.uuid4().hex}"
        self._arrive(cast(int, method.delivery_tag), _message(self._position, key, body, properties, None))


def _settle(connection: Connection, tags: Sequence[tuple[int, bool]]) -> None:
    """Acknowledge messages, and reject those whose tag comes with True."""
    if not connection.usable:
        return
    with connection.gathering():
        for tag, bad in tags:
            if bad:
                connection.channel.basic_nack(tag, requeue=False)
            else:
                connection.channel.basic_ack(tag)


def _message(position: int, key: str, body: bytes, properties: BasicProperties, offset: int | None) -> Message:
    return Message(
        position,
        key,
        body,
        properties.message_id,
        properties.correlation_id,
        properties.reply_to,
        properties.content_type,
        properties.delivery_mode == DeliveryMode.Persistent.value,
        offset,
    )
