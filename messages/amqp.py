"""AMQP connections to RabbitMQ, with pika: the one place that builds them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError

from messages.pika_connection import PikaConnection
from messages.ports import BrokerUnavailable
from process.tls import explained

CONNECT_TIMEOUT_SECONDS = 15
HEARTBEAT_SECONDS = 30
CLOSE_TIMEOUT_SECONDS = 3
# A broker that was killed and comes back may never confirm what it took before its streams were there again.
CONFIRM_TIMEOUT_SECONDS = 20


def parameters(url: str) -> pika.URLParameters:
    """Return connection parameters of an AMQP URL, with this project's time limits."""
    found = pika.URLParameters(url)
    found.heartbeat = HEARTBEAT_SECONDS
    found.blocked_connection_timeout = CONFIRM_TIMEOUT_SECONDS
    found.socket_timeout = CONNECT_TIMEOUT_SECONDS
    return found


@contextmanager
def blocking_connection(url: str) -> Iterator[pika.BlockingConnection]:
    """Connect for the time of the block, for what is done once; raises BrokerUnavailable, also for what it does."""
    # Somebody may wait for the answer to a request.
    short = parameters(url)
    short.socket_timeout = 5
    short.stack_timeout = short.blocked_connection_timeout = 10
    with unavailable(), pika.BlockingConnection(short) as connection:
        yield connection


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn pika's errors into BrokerUnavailable."""
    try:
        yield
    except (AMQPError, OSError) as error:
        raise BrokerUnavailable(f"RabbitMQ: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """Return an error's message; pika often has one only in the error behind it."""
    words = f"{type(error).__name__}: {str(error) or str(error.__cause__ or '') or repr(error)}"
    return explained(words, authorities="SSL_CERT_FILE", address="RABBITMQ_URL")


class Connection:
    """One AMQP connection with one channel, and its I/O in a thread of its own."""

    def __init__(
        self, url: str, name: str, prepare: "Callable[[Connection], None]", changed: threading.Condition
    ) -> None:
        """Connect to `url`, and return once `ready` is set; raises BrokerUnavailable.

        prepare: called in the I/O thread when the channel is open; sees to it that `ready` is set.
        changed: notified when the connection is gone.
        """
        self.ready = threading.Event()
        self.closed = self.closing = False
        self.reason = ""
        self.channel: Channel
        self._prepare = prepare
        self._changed = changed
        with unavailable():
            self._connection = PikaConnection(
                parameters(url),
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._channel_open),
                on_open_error_callback=lambda _, error: self._gone(error),
                on_close_callback=lambda _, error: self._gone(error),
            )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        if not self.ready.wait(CONNECT_TIMEOUT_SECONDS):
            self.close()
            raise BrokerUnavailable(f"RabbitMQ: {name}: no answer in {CONNECT_TIMEOUT_SECONDS} s")
        if self.closed:
            raise BrokerUnavailable(f"RabbitMQ: {name}: {self.reason}")

    def call(self, function: Callable[[Channel], object]) -> None:
        """Have the I/O thread call `function` soon, with the channel, and send as one piece what it writes.

        It is not called any more once the channel is closed.
        """

        def call_if_open() -> None:
            if self.channel.is_open:
                self._connection.gather(partial(function, self.channel))

        if not self.closed:
            self._connection.ioloop.add_callback_threadsafe(call_if_open)

    @property
    def frame_max(self) -> int:
        """How many bytes a frame may have, as was agreed with the broker."""
        return self._connection.params.frame_max

    @property
    def body_bytes(self) -> int:
        """How large the body is of the message that is being delivered: it is left out where that is too large."""
        return self._connection.body_bytes

    def write(self, frames: bytes) -> None:
        """Send frames that are written already; for what `call` calls."""
        self._connection.write(frames)

    def pause(self) -> None:
        """Read nothing from the broker for now, but for what is being read; for the I/O thread."""
        if not self.closing:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if not self.closed:
            self._connection.ioloop.add_callback_threadsafe(self._connection.resume)

    def abort(self, reason: str) -> None:
        """Break the connection off, whose broker does not answer, and wait until its thread has ended."""

        def abort() -> None:
            self.reason = self.reason or reason
            if not self._connection.is_closed:
                self._connection.abort(OSError(reason))

        if not self.closed:
            self._connection.ioloop.add_callback_threadsafe(abort)
        self._thread.join(CONNECT_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection and wait until its thread has ended; a broker that does not answer is not waited for."""
        if not self.closed:
            self._connection.ioloop.add_callback_threadsafe(self._close)
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        if self._thread.is_alive():
            # Else who publishes would go on by it until pika misses heartbeats, a minute later: garbage, for one, has
            # pika wait for the rest of a frame that does not come.
            self.abort("the broker does not answer")

    def fail(self, error: BaseException) -> None:
        """Close the connection because of `error`; for the I/O thread."""
        self.reason = _words(error)
        self._close()

    def _run(self) -> None:
        self._connection.ioloop.start()
        # Else its sockets stay open until a garbage collection: a broker that is away for long would exhaust them.
        self._connection.ioloop.close()

    def _close(self) -> None:
        # The broker's answer comes behind what it has sent before.
        self.closing = True
        self._connection.resume()
        if self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._connection.ioloop.stop()

    def _channel_open(self, channel: Channel) -> None:
        self.channel = channel
        # The channel is all that this connection is for.
        channel.add_on_close_callback(lambda _, error: self.fail(error))
        self._prepare(self)

    def _gone(self, error: BaseException) -> None:
        self.reason = self.reason or _words(error)
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self.ready.set()
        self._connection.ioloop.stop()
