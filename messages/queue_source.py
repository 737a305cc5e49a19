"""Queues of RabbitMQ as sources, read over AMQP."""

import hashlib
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import cast

from pika.channel import Channel
from pika.delivery_mode import DeliveryMode
from pika.spec import Basic, BasicProperties

from contracts.limits import MAX_ID_CHARACTERS
from messages.amqp import Connection
from messages.amqp10 import short
from messages.ports import BrokerUnavailable, Message, Progress, Source, size_problem
from process.tracing import HEADER

PERSISTENT = DeliveryMode.Persistent.value
BUFFER_BYTES = 4 * 1024 * 1024


class QueueSource(Source):
    """Reads a queue, which remembers itself what is finished.

    What is rejected is not delivered again: the queue's dead-letter exchange gets it, where it has one.
    """

    # The broker counts what it delivers on a channel, from 1; positions go on counting over all of them.
    _last_position = 0
    _positions_before = 0

    def __init__(self, url: str, name: str, *, prefetch: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Read `name` at the broker with that AMQP URL.

        prefetch: how many messages may be in hand, read or unread; buffer_bytes: how many bytes of bodies may be
        unread, about, or one message where it is larger.
        """
        self.name = name
        self._url = url
        self._prefetch = prefetch
        self._buffer_bytes = buffer_bytes
        self._arrived: deque[Message] = deque()
        self._arrived_bytes = 0
        self._changed = threading.Condition()
        self._connection: Connection | None = None

    def open(self, progress: Progress | None = None) -> None:  # noqa: ARG002 - the queue knows
        """Connect anew and have messages sent; raises BrokerUnavailable."""
        self.close()
        self._arrived.clear()
        self._arrived_bytes = 0
        self._positions_before = self._last_position

        def consume(connection: Connection) -> None:
            channel, ready = connection.channel, connection.ready
            channel.add_on_cancel_callback(lambda _: connection.fail(OSError(f"{self.name} was deleted")))
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.basic_consume(self.name, partial(self._receive, connection), callback=lambda _: ready.set())

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
            messages = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
            before = self._arrived_bytes
            self._arrived_bytes -= sum(len(message.body) for message in messages)
        if self._arrived_bytes <= self._buffer_bytes // 2 < before:
            connection.resume()
        return messages

    def stand_by(self) -> None:
        """Do nothing: the readers of a queue share it."""

    def finish(self, positions: Sequence[int], rejected: frozenset[int]) -> None:
        """Acknowledge messages, and reject the bad ones.

        Nothing can be said of those of an earlier connection: the broker delivers them again.
        """
        # In this order, since another thread may open it meanwhile: on a new connection all is counted anew.
        connection, before = self._connection, self._positions_before

        def settle(channel: Channel) -> None:
            for position in (position for position in positions if position > before):
                if position in rejected:
                    channel.basic_nack(position - before, requeue=False)
                else:
                    channel.basic_ack(position - before)

        if connection:
            connection.call(settle)

    def end(self) -> None:
        """Return None: a queue has no offsets."""

    def close(self) -> None:
        """Close the connection, where there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _receive(
        self, connection: Connection, _: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        if connection.closing:
            return  # The broker has it still.
        self._last_position = position = self._positions_before + cast(int, method.delivery_tag)
        message_id = _text(properties.message_id)
        correlation_id, reply_to = _text(properties.correlation_id), _text(properties.reply_to)
        # A sender's id alone would let it overwrite another's record, and without one a message that is delivered
        # again would be recorded twice.
        content = (message_id, correlation_id, reply_to, properties.content_type, str(properties.timestamp))
        problem = size_problem(connection.body_bytes)
        known = problem.encode() if problem else body
        digest = hashlib.sha256(repr(content).encode(errors="surrogateescape") + known).hexdigest()[:32]
        message_id = message_id and message_id[:MAX_ID_CHARACTERS]
        traceparent = (properties.headers or {}).get(HEADER)
        message = Message(
            position,
            f"{self.name}:{message_id}:{digest}" if message_id else f"{self.name}:{digest}",
            body,
            message_id,
            correlation_id,
            reply_to,
            properties.content_type,
            properties.delivery_mode == PERSISTENT,
            problem=problem,
            traceparent=traceparent if isinstance(traceparent, str) else None,
        )
        with self._changed:
            self._arrived.append(message)
            self._arrived_bytes += len(body)
            if self._arrived_bytes > self._buffer_bytes:
                # Resumed by who reads, and that waits for this lock.
                connection.pause()
            self._changed.notify()


def _text(value: str | bytes | None) -> str | None:
    """Return a property as text that can be sent again; pika hands over bytes where it is not UTF-8."""
    return short(value.decode(errors="replace")) if isinstance(value, bytes) else value
