"""Publishing to a stream by the stream protocol: confirmed, and each message once where it is numbered."""

import threading
from collections.abc import Callable, Iterator, Sequence

from rstream import schema

from messages.amqp import CONFIRM_TIMEOUT_SECONDS
from messages.amqp10 import encode
from messages.ports import Appended, Appender, BrokerUnavailable, StreamMissing
from messages.stream_client import FRAME_MAX_BYTES, StreamConnection

MAX_NAMES = 200
"""How many names one connection serves; the protocol numbers them in a byte."""


class StreamPublisher(Appender):
    """Appends to one stream; connects to its leader when first used, and again."""

    def __init__(self, url: str, stream: str, *, declare: Callable[[], None] = lambda: None) -> None:
        """Append to `stream` at the broker with that stream URL.

        declare: called when the stream is missing, before it is said; raises BrokerUnavailable.
        """
        self._declare = declare
        self._url = url
        self._stream = stream
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def append(self, name: str, messages: Sequence[Appended]) -> None:
        """Send all, and wait for the confirms; raises BrokerUnavailable."""
        if not messages:
            return
        try:
            with self._lock:
                session = self._open(name)
                number = session.number(name)
        except StreamMissing:
            self._declare()
            raise
        session.append(number, messages)

    def close(self) -> None:
        """Close the connection, where there is one."""
        with self._lock:
            self._close()

    def _open(self, name: str) -> "_Session":
        """Return a connection that has room for a name; raises BrokerUnavailable, StreamMissing."""
        session = self._session
        if session is None or session.problem or (name not in session.numbers and session.is_full()):
            self._close()
            session = self._session = _Session(self._url, self._stream)
        return session

    def _close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None


class _Session:
    """One connection: the names declared on it, and what the broker has not confirmed."""

    def __init__(self, url: str, stream: str) -> None:
        self.numbers: dict[str, int] = {}
        self.problem = ""
        self._waiting: dict[int, int] = {}
        self._changed = threading.Condition()
        self._connection = StreamConnection(url, stream, f"{stream}-publisher", self._on_gone, writes=True)
        self._connection.on(schema.PublishConfirm, self._on_confirm)
        self._connection.on(schema.PublishError, self._on_error)
        self._connection.on(schema.MetadataUpdate, lambda _: self._on_gone("it was deleted, or has a new leader"))

    def is_full(self) -> bool:
        return len(self.numbers) >= MAX_NAMES

    def number(self, name: str) -> int:
        """Return the number of a name, declared where it is new; raises BrokerUnavailable."""
        if name not in self.numbers:
            number = len(self.numbers)
            self._connection.declare_publisher(number, name)
            self.numbers[name] = number
        return self.numbers[name]

    def append(self, number: int, messages: Sequence[Appended]) -> None:
        """Send all, and wait for the confirms; raises BrokerUnavailable."""
        self._waiting[number] = len(messages)
        for part in _frames(messages):
            self._connection.publish(number, part)
        with self._changed:
            self._changed.wait_for(lambda: self.problem or not self._waiting[number], CONFIRM_TIMEOUT_SECONDS)
        if self._waiting[number]:
            # What is sent after this must not overtake it: all of the connection is given up.
            self._on_gone(f"no confirm in {CONFIRM_TIMEOUT_SECONDS} s")
            raise BrokerUnavailable(f"RabbitMQ: publishing to {self._connection.stream}: {self.problem}")

    def close(self) -> None:
        """Close it; whoever waits for a confirm is told that there will be none."""
        self._on_gone("the connection was given up")
        self._connection.close()

    # In the I/O thread.

    def _on_confirm(self, frame: schema.PublishConfirm) -> None:
        with self._changed:
            self._waiting[frame.publisher_id] -= len(frame.publishing_ids)
            if not self._waiting[frame.publisher_id]:
                self._changed.notify_all()

    def _on_error(self, frame: schema.PublishError) -> None:
        self._on_gone(f"the broker refused {len(frame.errors)} messages (code {frame.errors[0].response_code})")

    def _on_gone(self, reason: str) -> None:
        with self._changed:
            self.problem = self.problem or reason
            self._changed.notify_all()


def _frames(messages: Sequence[Appended]) -> Iterator[list[schema.Message]]:
    """Yield messages as they are sent, in frames of at most half of what the protocol allows, or one that is larger."""
    frame: list[schema.Message] = []
    size = 0
    for number, body, correlation_id, traceparent in messages:
        data = encode(body, correlation_id, traceparent=traceparent)
        if frame and size + len(data) > FRAME_MAX_BYTES // 2:
            yield frame
            frame, size = [], 0
        frame.append(schema.Message(number, None, data))
        size += len(data)
    yield frame
