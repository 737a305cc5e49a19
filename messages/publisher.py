"""Publishing to RabbitMQ over AMQP, confirmed by the broker."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import pika
from pika.delivery_mode import DeliveryMode
from pika.spec import Basic, BasicProperties

from messages.amqp import CONFIRM_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, Connection
from messages.ports import BrokerUnavailable, Outgoing, Publisher


class _Confirmation:
    """Counts the broker's confirms of one batch."""

    def __init__(self, count: int) -> None:
        self.remaining = count
        self.refused = 0
        self.done = threading.Event()

    def settle(self, *, accepted: bool) -> None:
        self.remaining -= 1
        self.refused += not accepted
        if self.remaining <= 0:
            self.done.set()


class AmqpPublisher(Publisher):
    """Publishes to queues and streams by the default exchange, with confirms; connects when first used, and again."""

    def __init__(self, url: str, *, on_unroutable: Callable[[str], None] = lambda to: None) -> None:
        """on_unroutable is told the name of a queue that does not exist, as of a client that has gone."""
        self._url = url
        self._on_unroutable = on_unroutable
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._outstanding: dict[int, _Confirmation] = {}
        self._sequence = 0

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """See Publisher."""
        if not messages:
            return
        connection = self._connected()
        confirmation = _Confirmation(len(messages))
        connection.call(partial(self._send, connection, messages, confirmation))
        if not confirmation.done.wait(CONFIRM_TIMEOUT_SECONDS):
            # Closing also drops what waits to be sent, so that trying again does not pile up.
            connection.close()
        if confirmation.remaining > 0 or confirmation.refused:
            reason = connection.reason if connection.closed else f"refused {confirmation.refused} messages"
            raise BrokerUnavailable(f"RabbitMQ: publishing: {reason}")

    def close(self) -> None:
        """See Publisher."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is None or self._connection.closed:
                connection = Connection(self._url, "publisher", self._fail_outstanding)
                connection.open()
                ready = threading.Event()
                connection.call(partial(self._confirm, connection, ready))
                ready.wait(CONNECT_TIMEOUT_SECONDS)
                self._connection = connection
            return self._connection

    def _confirm(self, connection: Connection, ready: threading.Event) -> None:
        self._sequence = 0
        connection.channel.confirm_delivery(self._on_confirm, callback=lambda _: ready.set())
        connection.channel.add_on_return_callback(
            lambda _, method, __, ___: self._on_unroutable(str(method.routing_key))
        )

    def _send(self, connection: Connection, messages: Sequence[Outgoing], confirmation: _Confirmation) -> None:
        if not connection.usable:
            confirmation.done.set()
            return
        with connection.gathering():
            for message in messages:
                self._sequence += 1
                self._outstanding[self._sequence] = confirmation
                connection.channel.basic_publish(
                    "",
                    message.to,
                    message.body,
                    BasicProperties(
                        content_type=message.content_type,
                        correlation_id=message.correlation_id,
                        message_id=message.message_id,
                        reply_to=message.reply_to,
                        delivery_mode=DeliveryMode.Persistent if message.persistent else DeliveryMode.Transient,
                    ),
                    mandatory=True,
                )

    def _on_confirm(self, frame: "pika.frame.Method[Basic.Ack | Basic.Nack]") -> None:
        method = frame.method
        accepted = isinstance(method, Basic.Ack)
        if method.multiple:
            tags = [tag for tag in self._outstanding if tag <= method.delivery_tag]
        else:
            tags = [method.delivery_tag]
        for tag in tags:
            self._outstanding.pop(tag).settle(accepted=accepted)

    def _fail_outstanding(self) -> None:
        waiting = set(self._outstanding.values())
        self._outstanding.clear()
        for confirmation in waiting:
            confirmation.done.set()
