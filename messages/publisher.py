"""Publishing to RabbitMQ over AMQP, confirmed by the broker."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
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
    """Messages published together: the delivery tags that the broker has not answered for, and why it failed, or ""."""

    unanswered: set[int] = field(default_factory=set)
    refused: int = 0
    failure: Future[str] = field(default_factory=Future)


class AmqpPublisher(Publisher):
    """Publishes to queues and streams by the default exchange, with confirms; connects when first used, and again."""

    def __init__(self, url: str, *, on_unroutable: Callable[[str], None] = lambda to: None) -> None:
        """Tell `on_unroutable` the name of each queue that does not exist, as of a client that has gone."""
        self._url = url
        self._on_unroutable = on_unroutable
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._waiting: set[_Batch] = set()
        self._last_tag = 0

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send all as one piece, and wait for the confirms; raises BrokerUnavailable."""
        if not messages:
            return
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = Connection(self._url, "publisher", self._prepare, self._fail_waiting)
            connection = self._connection
        batch = _Batch()
        self._waiting.add(batch)
        connection.call(partial(self._send, connection.channel, messages, batch))
        try:
            # One that is closed by now may have been so before the batch was waiting, and then nobody fails it.
            failure = batch.failure.result(0 if connection.closed else CONFIRM_TIMEOUT_SECONDS)
        except TimeoutError:
            # Closing also drops what waits to be sent, so that trying again does not pile up.
            connection.close()
            failure = connection.reason
        self._waiting.discard(batch)
        if failure:
            raise BrokerUnavailable(f"RabbitMQ: publishing: {failure}")

    def close(self) -> None:
        """Close the connection, where there is one."""
        with self._lock:
            if self._connection:
                self._connection.close()

    def _prepare(self, connection: Connection) -> None:
        self._last_tag = 0
        connection.channel.confirm_delivery(self._on_confirm, callback=lambda _: connection.ready.set())
        connection.channel.add_on_return_callback(
            lambda _, method, __, ___: self._on_unroutable(str(method.routing_key))
        )

    def _send(self, channel: Channel, messages: Sequence[Outgoing], batch: _Batch) -> None:
        for message in messages:
            self._last_tag += 1
            batch.unanswered.add(self._last_tag)
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
                answered = {tag for tag in batch.unanswered if tag <= method.delivery_tag}
            else:
                answered = batch.unanswered & {method.delivery_tag}
            batch.unanswered -= answered
            batch.refused += len(answered) if isinstance(method, Basic.Nack) else 0
            if answered and not batch.unanswered:
                self._waiting.discard(batch)
                batch.failure.set_result(f"refused {batch.refused} messages" if batch.refused else "")

    def _fail_waiting(self, connection: Connection) -> None:
        for batch in list(self._waiting):
            self._waiting.discard(batch)
            batch.failure.set_result(connection.reason)
