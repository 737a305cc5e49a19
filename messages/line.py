"""A connection over AMQP that publishes, and hears from the broker what became of it."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pika
from pika.channel import Channel
from pika.spec import Basic

from messages.amqp import Connection
from messages.confirms import Batch, Confirms
from messages.frames import frames
from messages.ports import Outgoing


class Sent(NamedTuple):
    """What was sent, and what the broker has said of it.

    reason: why some messages have no answer. late: the broker was silent until the time was over, and did not go away.
    """

    batch: Batch
    reason: str = ""
    late: bool = False


class Line:
    """Publishes by the default exchange; connects when first used, and again. Many threads may use one."""

    def __init__(self, url: str, name: str, *, on_return: Callable[[str], None] = lambda queue: None) -> None:
        """Tell `on_return`, in the I/O thread, the name of each queue that a message was for and that is not there."""
        self._url = url
        self._name = name
        self._on_return = on_return
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._confirms = Confirms()

    def send(self, messages: Sequence[Outgoing], timeout_seconds: float) -> Sent:
        """Send all as one piece, and return what the broker has said of them once it has of all, or in time.

        Raises BrokerUnavailable where there is no connection.
        """
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = Connection(self._url, self._name, self._prepare, self._changed)
            connection = self._connection
        batch = Batch(len(messages), {message.to for message in messages})
        # Written here, not in the I/O thread, which has the broker's answers to read meanwhile.
        written = frames(messages, connection.channel.channel_number, connection.frame_max)

        def send(_: Channel) -> None:
            self._confirms.sent(batch)
            connection.write(written)

        connection.call(send)
        with self._changed:
            self._changed.wait_for(lambda: not batch.remaining or connection.closed, timeout_seconds)
        if not batch.remaining:
            return Sent(batch)
        if connection.closed:
            return Sent(batch, connection.reason)
        # This also drops what waits to be sent, so that trying again does not pile up.
        connection.abort(f"no confirm in {timeout_seconds:g} s")
        return Sent(batch, connection.reason, late=True)

    def close(self) -> None:
        """Close the connection, where there is one."""
        with self._lock:
            if self._connection:
                self._connection.close()

    def _prepare(self, connection: Connection) -> None:
        # Tags count anew on each channel, and say nothing of what was sent on an earlier one.
        self._confirms = Confirms()
        channel = connection.channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _: connection.ready.set())
        channel.add_on_return_callback(lambda _, method, __, ___: self._came_back(str(method.routing_key)))

    def _came_back(self, queue: str) -> None:
        self._confirms.came_back(queue)
        self._on_return(queue)

    def _on_confirm(self, frame: "pika.frame.Method[Basic.Ack | Basic.Nack]") -> None:
        method = frame.method
        refused = isinstance(method, Basic.Nack)
        if self._confirms.answered(method.delivery_tag, multiple=method.multiple, refused=refused):
            with self._changed:
                self._changed.notify_all()
