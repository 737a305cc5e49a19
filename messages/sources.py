"""Streams and queues of RabbitMQ as sources, read over AMQP."""

import threading
import uuid
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Literal, cast

from pika.channel import Channel
from pika.delivery_mode import DeliveryMode
from pika.spec import Basic, BasicProperties

from contracts.limits import MAX_ID_CHARACTERS
from messages.amqp import Connection
from messages.amqp10 import short
from messages.ports import BrokerUnavailable, Message, Source

PERSISTENT = DeliveryMode.Persistent.value


class AmqpSource(Source):
    """What reading a stream and reading a queue share: a connection, and the messages that have arrived.

    The broker sends at most `prefetch` messages that are not acknowledged yet.
    """

    def __init__(self, url: str, name: str, *, prefetch: int) -> None:
        """Read `name` at the broker with that AMQP URL."""
        self.name = name
        self._url = url
        self._prefetch = prefetch
        self._arrived: deque[Message] = deque()
        self._changed = threading.Condition()
        self._connection: Connection | None = None

    @abstractmethod
    def _begin(self, after: int | None) -> dict[str, int | str]:
        """Prepare for a new connection; returns what the broker is to know when it reads for us behind `after`."""

    @abstractmethod
    def _receive(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        """Take a message, in the I/O thread."""

    def open(self, after: int | None) -> None:
        """Connect anew and have messages sent; raises BrokerUnavailable."""
        self.close()
        self._arrived.clear()
        arguments = self._begin(after)

        def consume(connection: Connection) -> None:
            channel, ready = connection.channel, connection.ready
            channel.add_on_cancel_callback(lambda _: connection.fail(OSError(f"{self.name} was deleted")))
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.basic_consume(self.name, self._receive, arguments=arguments, callback=lambda _: ready.set())

        self._connection = Connection(self._url, f"{self.name}-reader", consume, self._changed)

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Return what has arrived, or does in time; raises BrokerUnavailable."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable("RabbitMQ: not connected")
        with self._changed:
            self._changed.wait_for(lambda: self._arrived or connection.closed, timeout_seconds)
            if not self._arrived and connection.closed:
                raise BrokerUnavailable(f"RabbitMQ: {connection.reason}")
            return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def close(self) -> None:
        """Close the connection, where there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _arrive(
        self, position: int, key: str, body: bytes, properties: BasicProperties, offset: int | None = None
    ) -> None:
        message = Message(
            position,
            key,
            body,
            properties.message_id and _text(properties.message_id)[:MAX_ID_CHARACTERS],
            properties.correlation_id and _text(properties.correlation_id),
            properties.reply_to and _text(properties.reply_to),
            properties.content_type,
            properties.delivery_mode == PERSISTENT,
            offset,
        )
        with self._changed:
            self._arrived.append(message)
            self._changed.notify()


class StreamSource(AmqpSource):
    """Reads a stream. Whoever reads remembers how far it is done; `prefetch` is what may wait here unread."""

    def __init__(self, url: str, name: str, *, prefetch: int, start: Literal["first", "next"] = "first") -> None:
        """Read the stream `name`; start: where `open` begins that is given no offset."""
        super().__init__(url, name, prefetch=prefetch)
        self._start = start
        self._after = -1
        self._last_tag = 0

    def _begin(self, after: int | None) -> dict[str, int | str]:
        self._after = -1 if after is None else after
        self._last_tag = 0
        return {"x-stream-offset": self._start if after is None else after + 1}

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Read, and have the broker send as many more: of a stream that is all an acknowledgement does."""
        messages = super().read(limit, timeout_seconds)
        if messages and self._connection:
            # The broker counts what it delivers on a channel, from 1.
            tag = self._last_tag = self._last_tag + len(messages)
            self._connection.call(lambda channel: channel.basic_ack(tag, multiple=True))
        return messages

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """Do nothing: a stream keeps its messages and takes no notice of who is done with them."""

    def _receive(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        # pika reads it as a subclass of int, which JSON encoders refuse.
        offset = int(cast(int, (properties.headers or {})["x-stream-offset"]))
        if offset > self._after:
            self._arrive(offset, f"{self.name}:{offset}", body, properties, offset)
        else:
            # The broker may begin at the start of a chunk.
            self._last_tag = cast(int, method.delivery_tag)
            channel.basic_ack(self._last_tag)


class QueueSource(AmqpSource):
    """Reads a queue, which remembers itself what is finished; `prefetch` is what may be in hand, read or unread.

    What is rejected is not delivered again: the queue's dead-letter exchange gets it, where it has one.
    """

    # The broker counts what it delivers on a channel, from 1; positions go on counting over all of them.
    _last_position = 0
    _positions_before = 0

    def _begin(self, after: int | None) -> dict[str, int | str]:  # noqa: ARG002 - the queue knows
        self._positions_before = self._last_position
        return {}

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """Acknowledge messages, and reject the bad ones.

        Nothing can be said of those of an earlier connection: the broker delivers them again.
        """
        # In this order, since another thread may open it meanwhile: on a new connection all is counted anew.
        connection, before = self._connection, self._positions_before

        def settle(channel: Channel) -> None:
            for position in (message.position for message in messages if message.position > before):
                if position in rejected:
                    channel.basic_nack(position - before, requeue=False)
                else:
                    channel.basic_ack(position - before)

        if connection:
            connection.call(settle)

    def _receive(self, _: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._last_position = position = self._positions_before + cast(int, method.delivery_tag)
        message_id = _text(properties.message_id) if properties.message_id else uuid.uuid4().hex
        self._arrive(position, f"{self.name}:{message_id}", body, properties)


def _text(value: str | bytes) -> str:
    """Return a property as text; pika hands over bytes where it is not UTF-8."""
    if isinstance(value, str):
        return value
    # U+FFFD is three bytes, and an answer's properties may have as many as a message's.
    return short(value.decode(errors="replace"))
