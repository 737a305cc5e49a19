"""Publishing to RabbitMQ over AMQP, confirmed by the broker."""

import threading
from collections.abc import Callable, Sequence

import pika
from pika.channel import Channel
from pika.spec import Basic

from messages.amqp import CONFIRM_TIMEOUT_SECONDS, Connection
from messages.confirms import Batch, Confirms
from messages.frames import fits, frames
from messages.ports import BrokerUnavailable, Outgoing, Publisher


class AmqpPublisher(Publisher):
    """Publishes to queues and streams by the default exchange, with confirms; connects when first used, and again."""

    def __init__(self, url: str, *, on_unroutable: Callable[[str], None] = lambda to: None) -> None:
        """Tell `on_unroutable` the name of each queue that does not exist, as of a client that has gone."""
        self._url = url
        self._on_unroutable = on_unroutable
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._confirms = Confirms()

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send all as one piece, and wait for the confirms; raises BrokerUnavailable."""
        if not all(map(fits, {message.to for message in messages})):
            messages = self._routable(messages)
        if not messages:
            return
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = Connection(self._url, "publisher", self._prepare, self._changed)
            connection = self._connection
        batch = Batch(len(messages))
        # Written here, not in the I/O thread, which has the broker's answers to read meanwhile.
        written = frames(messages, connection.channel.channel_number, connection.frame_max)

        def send(_: Channel) -> None:
            self._confirms.sent(batch)
            connection.write(written)

        connection.call(send)
        with self._changed:
            self._changed.wait_for(lambda: not batch.remaining or connection.closed, CONFIRM_TIMEOUT_SECONDS)
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

    def _routable(self, messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Leave out what goes to a name that no queue can have, which a client may have sent as its `reply_to`."""
        for message in messages:
            if not fits(message.to):
                self._on_unroutable(message.to)
        return [message for message in messages if fits(message.to)]

    def _prepare(self, connection: Connection) -> None:
        # Tags count anew on each channel, and say nothing of what was sent on an earlier one.
        self._confirms = Confirms()
        channel = connection.channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _: connection.ready.set())
        channel.add_on_return_callback(lambda _, method, __, ___: self._on_unroutable(str(method.routing_key)))

    def _on_confirm(self, frame: "pika.frame.Method[Basic.Ack | Basic.Nack]") -> None:
        method = frame.method
        refused = isinstance(method, Basic.Nack)
        if self._confirms.answered(method.delivery_tag, multiple=method.multiple, refused=refused):
            with self._changed:
                self._changed.notify_all()
