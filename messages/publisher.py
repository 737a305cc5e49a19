"""Publishing to RabbitMQ over AMQP, confirmed by the broker."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pika
from pika.channel import Channel
from pika.delivery_mode import DeliveryMode
from pika.spec import Basic, BasicProperties

from messages.amqp import CONFIRM_TIMEOUT_SECONDS, Connection
from messages.ports import BrokerUnavailable, Outgoing, Publisher


@dataclass(eq=False)
class _Batch:
    """Messages published together: how many the broker has not answered for, and the delivery tags of those sent."""

    remaining: int
    refused: int = 0
    tags: set[int] = field(default_factory=set)


class AmqpPublisher(Publisher):
    """Publishes to queues and streams by the default exchange, with confirms; connects when first used, and again."""

    def __init__(self, url: str, *, on_unroutable: Callable[[str], None] = lambda to: None) -> None:
        """Tell `on_unroutable` the name of each queue that does not exist, as of a client that has gone."""
        self._url = url
        self._on_unroutable = on_unroutable
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._waiting: set[_Batch] = set()
        self._last_tag = 0

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send all as one piece, and wait for the confirms; raises BrokerUnavailable."""
        if not messages:
            return
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = Connection(self._url, "publisher", self._prepare, self._changed)
            connection = self._connection
        batch = _Batch(len(messages))
        self._waiting.add(batch)
        connection.call(partial(self._send, messages, batch))
        with self._changed:
            self._changed.wait_for(lambda: not batch.remaining or connection.closed, CONFIRM_TIMEOUT_SECONDS)
        self._waiting.discard(batch)
        if batch.remaining:
            # This also drops what waits to be sent, so that trying again does not pile up.
            connection.close()
            raise BrokerUnavailable(f"RabbitMQ: publishing: {connection.reason}")
        if batch.refused:
            raise BrokerUnavailable(f"RabbitMQ: publishing: refused {batch.refused} messages")

    def close(self) -> None:
        """Close the connection, where there is one."""
        with self._lock:
            if self._connection:
                self._connection.close()

    def _prepare(self, connection: Connection) -> None:
        self._last_tag = 0
        # Tags count anew on each channel, and say nothing of what was sent on an earlier one.
        self._waiting.clear()
        channel = connection.channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _: connection.ready.set())
        channel.add_on_return_callback(lambda _, method, __, ___: self._on_unroutable(str(method.routing_key)))

    def _send(self, messages: Sequence[Outgoing], batch: _Batch, channel: Channel) -> None:
        for message in messages:
            self._last_tag += 1
            batch.tags.add(self._last_tag)
            properties = BasicProperties(
                content_type=message.content_type,
                correlation_id=message.correlation_id,
                message_id=message.message_id,
                reply_to=message.reply_to,
                delivery_mode=DeliveryMode.Persistent if message.persistent else DeliveryMode.Transient,
            )
            channel.basic_publish("", message.to, message.body, properties, mandatory=True)

    def _on_confirm(self, frame: "pika.frame.Method[Basic.Ack | Basic.Nack]") -> None:
        method = frame.method
        for batch in list(self._waiting):
            if method.multiple:
                answered = {tag for tag in batch.tags if tag <= method.delivery_tag}
            else:
                answered = batch.tags & {method.delivery_tag}
            batch.tags -= answered
            batch.refused += len(answered) if isinstance(method, Basic.Nack) else 0
            batch.remaining -= len(answered)
            if answered and not batch.remaining:
                with self._changed:
                    self._changed.notify_all()
