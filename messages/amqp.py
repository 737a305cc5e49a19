"""RabbitMQ behind the port, over AMQP with pika: streams and queues as sources, and a publisher with confirms."""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Literal, cast

import pika
from pika.channel import Channel
from pika.delivery_mode import DeliveryMode
from pika.exceptions import AMQPError
from pika.spec import Basic, BasicProperties

from bridge.broker import BrokerUnavailable, Message, Outgoing

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 15
CONFIRM_TIMEOUT_SECONDS = 60
HEARTBEAT_SECONDS = 30


def parameters(url: str) -> pika.URLParameters:
    """Return connection parameters of an AMQP URL, with this project's time limits."""
    found = pika.URLParameters(url)
    found.heartbeat = HEARTBEAT_SECONDS
    found.blocked_connection_timeout = CONFIRM_TIMEOUT_SECONDS
    found.socket_timeout = CONNECT_TIMEOUT_SECONDS
    return found


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn pika's errors into BrokerUnavailable."""
    try:
        yield
    except (AMQPError, OSError) as error:
        raise BrokerUnavailable(f"RabbitMQ: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """Return an error's message; pika often has one only in the error behind it."""
    seen = str(error) or str(error.__cause__ or "") or repr(error)
    return f"{type(error).__name__}: {seen}"


class GatheringConnection(pika.SelectConnection):
    """Can send many frames at once.

    pika makes a system call of each frame, three a message, and RabbitMQ wakes up for each.
    """

    _gathered: list[bytes] | None = None

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Send what is written in the block when it ends, as one piece."""
        self._gathered = []
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            if gathered:
                super()._adapter_emit_data(b"".join(gathered))  # type: ignore[misc]  # its stubs leave it out

    def _adapter_emit_data(self, data: bytes) -> None:
        """Take a frame: the method that pika has its adapters override."""
        if self._gathered is None:
            super()._adapter_emit_data(data)  # type: ignore[misc]  # as above
        else:
            self._gathered.append(data)


class Connection:
    """One AMQP connection with one channel, and its I/O in a thread of its own."""

    def __init__(self, url: str, name: str, on_closed: Callable[[], None] = lambda: None) -> None:
        """Connect to `url` when opened; on_closed is called in the I/O thread when the connection is gone."""
        self.reason = "not connected"
        self.channel: Channel
        self._url = url
        self._name = name
        self._on_closed = on_closed
        self._ready = threading.Event()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether it has been closed, by whichever side."""
        return self._closed.is_set()

    def open(self) -> None:
        """Connect and open the channel; raises BrokerUnavailable."""
        with unavailable():
            self._connection = GatheringConnection(
                parameters(self._url),
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._channel_open),
                on_open_error_callback=lambda _, error: self._gone(error),
                on_close_callback=lambda _, error: self._gone(error),
            )
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        if not self._ready.wait(CONNECT_TIMEOUT_SECONDS):
            self._gone(TimeoutError(f"no answer in {CONNECT_TIMEOUT_SECONDS} s"))
        if self.closed:
            raise BrokerUnavailable(f"RabbitMQ: {self.reason}")

    def _run(self) -> None:
        self._connection.ioloop.start()
        # Else its sockets stay open until a garbage collection: a broker that is away for long would exhaust them.
        self._connection.ioloop.close()

    def call(self, function: Callable[[], None]) -> None:
        """Have the I/O thread call `function`, soon."""
        if not self.closed:
            self._connection.ioloop.add_callback_threadsafe(function)

    def gathering(self) -> AbstractContextManager[None]:
        """Send what the I/O thread writes in the block as one piece."""
        return self._connection.gathering()

    def close(self) -> None:
        """Close the connection and wait until its thread has ended."""
        self.call(self._close)
        self._thread.join(CONNECT_TIMEOUT_SECONDS)

    def _close(self) -> None:
        if self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._connection.ioloop.stop()

    def _channel_open(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_close_callback(lambda _, error: self._channel_gone(error))
        self._ready.set()

    def _channel_gone(self, error: Exception) -> None:
        # The channel is all that this connection is for.
        self.reason = _words(error)
        self._close()

    def _gone(self, error: BaseException) -> None:
        if not self.closed:
            self.reason = _words(error) if self.reason == "not connected" else self.reason
            self._closed.set()
            self._ready.set()
            self._connection.ioloop.add_callback_threadsafe(self._connection.ioloop.stop)
            self._on_closed()


class RabbitMQSource:
    """Reads a stream or a queue of RabbitMQ.

    The broker sends at most `prefetch` messages ahead: from a stream, of what has been read; from a queue, of what is
    finished, for there an acknowledgement takes the message away.
    """

    def __init__(
        self, url: str, queue: str, *, stream: bool, prefetch: int, start: Literal["first", "next"] = "first"
    ) -> None:
        """Read `queue`; a stream begins where `open` says, else at `start`, and is finished in order."""
        self._start = start
        self.name = queue
        self.remembers = not stream
        self._url = url
        self._prefetch = prefetch
        self._arrived: deque[tuple[int, Message]] = deque()
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._after: int | None = None
        self._delivery_tags: dict[int, int] = {}
        self._position = 0

    def open(self, after: int | None) -> None:
        """See bridge.broker.Source."""
        self.close()
        self._after = after
        with self._changed:
            self._arrived.clear()
            self._delivery_tags.clear()
        subscribed = threading.Event()

        def closed() -> None:
            subscribed.set()
            self._wake()

        connection = Connection(self._url, f"{self.name}-reader", closed)
        connection.open()
        connection.call(partial(self._consume, connection, subscribed))
        if not subscribed.wait(CONNECT_TIMEOUT_SECONDS):
            connection.close()
        if connection.closed:
            raise BrokerUnavailable(f"RabbitMQ: reading {self.name}: {connection.reason}")
        self._connection = connection

    def _consume(self, connection: Connection, subscribed: threading.Event) -> None:
        channel = connection.channel
        channel.add_on_cancel_callback(lambda _: connection._channel_gone(OSError(f"{self.name} was deleted")))
        channel.basic_qos(prefetch_count=self._prefetch)
        arguments = (
            None if self.remembers else {"x-stream-offset": self._start if self._after is None else self._after + 1}
        )
        channel.basic_consume(self.name, self._on_message, arguments=arguments, callback=lambda _: subscribed.set())

    def _on_message(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        tag = cast(int, method.delivery_tag)
        if self.remembers:
            position = self._position = self._position + 1
            key = f"{self.name}:{properties.message_id or uuid.uuid4().hex}"
        else:
            position = cast(int, (properties.headers or {})["x-stream-offset"])
            key = f"{self.name}:{position}"
            if self._after is not None and position <= self._after:
                # The broker may begin at the start of a chunk.
                channel.basic_ack(tag)
                return
        message = Message(
            position,
            key,
            body,
            properties.message_id,
            properties.correlation_id,
            properties.reply_to,
            properties.content_type,
            properties.delivery_mode == DeliveryMode.Persistent.value,
        )
        with self._changed:
            self._arrived.append((tag, message))
            self._changed.notify()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """See bridge.broker.Source."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable("RabbitMQ: not connected")
        with self._changed:
            self._changed.wait_for(lambda: self._arrived or connection.closed, timeout_seconds)
            if not self._arrived and connection.closed:
                raise BrokerUnavailable(f"RabbitMQ: {connection.reason}")
            taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
            if self.remembers:
                self._delivery_tags |= {message.position: tag for tag, message in taken}
        if taken and not self.remembers:
            last_tag = taken[-1][0]
            connection.call(partial(self._acknowledge, connection, [last_tag], []))
        return [message for _, message in taken]

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """See bridge.broker.Source."""
        connection = self._connection
        good: list[int] = []
        bad: list[int] = []
        with self._changed:
            for message in messages:
                # Tags of an earlier connection are gone: the broker delivers those messages again.
                if (tag := self._delivery_tags.pop(message.position, None)) is not None:
                    (bad if message.position in rejected else good).append(tag)
        if connection and (good or bad):
            connection.call(partial(self._acknowledge, connection, good, bad))

    def _acknowledge(self, connection: Connection, good: list[int], bad: list[int]) -> None:
        if connection.closed or not connection.channel.is_open:
            return
        with connection.gathering():
            for tag in good:
                # Of a stream the one tag stands for all before it; it only has the broker send more.
                connection.channel.basic_ack(tag, multiple=not self.remembers)
            for tag in bad:
                connection.channel.basic_nack(tag, requeue=False)

    def close(self) -> None:
        """See bridge.broker.Source."""
        if self._connection:
            self._connection.close()
            self._connection = None


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


class RabbitMQPublisher:
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
        """See bridge.broker.Publisher."""
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
        """See bridge.broker.Publisher."""
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
        if connection.closed or not connection.channel.is_open:
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
