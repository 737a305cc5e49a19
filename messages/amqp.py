"""AMQP connections to RabbitMQ, with pika: the one place that builds them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError

from messages.ports import BrokerUnavailable

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
def blocking_connection(parameters: pika.URLParameters) -> Iterator[pika.BlockingConnection]:
    """Connect for the time of the block, for what is done once; raises BrokerUnavailable, also for what it does."""
    with unavailable():
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()


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

    def __init__(self, url: str, name: str, on_closed: Callable[[], None]) -> None:
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

    @property
    def usable(self) -> bool:
        """Whether the channel takes commands; only the I/O thread can rely on it."""
        return not self.closed and self.channel.is_open

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

    def fail(self, error: BaseException) -> None:
        """Close the connection because of `error`; for the I/O thread."""
        self.reason = _words(error)
        self._close()

    def _close(self) -> None:
        if self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._connection.ioloop.stop()

    def _channel_open(self, channel: Channel) -> None:
        self.channel = channel
        # The channel is all that this connection is for.
        channel.add_on_close_callback(lambda _, error: self.fail(error))
        self._ready.set()

    def _gone(self, error: BaseException) -> None:
        if not self.closed:
            self.reason = _words(error) if self.reason == "not connected" else self.reason
            self._closed.set()
            self._ready.set()
            self._connection.ioloop.add_callback_threadsafe(self._connection.ioloop.stop)
            self._on_closed()
