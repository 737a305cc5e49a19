"""An in-memory twin of a broker, for tests of what is built on the port."""

import threading
from collections import defaultdict
from collections.abc import Sequence

from bridge.broker import BrokerUnavailable, Message, Outgoing


class MemoryBroker:
    """Append-only streams, with a switch that takes the broker away."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.streams: dict[str, list[Message]] = defaultdict(list)
        self.published: list[Outgoing] = []
        self._changed = threading.Condition()
        self._available = True

    @property
    def available(self) -> bool:
        """Whether clients are served."""
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        with self._changed:
            self._available = value
            self._changed.notify_all()

    def append(self, stream: str, message: Message) -> int:
        """Put a message on a stream; returns its offset."""
        with self._changed:
            offset = len(self.streams[stream])
            self.streams[stream].append(message._replace(position=offset, key=f"{stream}:{offset}"))
            self._changed.notify_all()
            return offset

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Take messages, as a Publisher does."""
        self._check()
        with self._changed:
            self.published.extend(messages)
            self._changed.notify_all()

    def wait_for_published(self, count: int, timeout_seconds: float) -> bool:
        """Wait until `count` messages have been published."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.published) >= count, timeout_seconds)

    def close(self) -> None:
        """Nothing is held."""

    def source(self, stream: str) -> "MemorySource":
        """Return a source that reads a stream."""
        return MemorySource(self, stream)

    def _check(self) -> None:
        if not self._available:
            raise BrokerUnavailable("the in-memory broker was taken away")


class MemorySource:
    """Reads a stream of a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        """Read `stream`."""
        self.name = stream
        self.remembers = False
        self.finished: list[Message] = []
        self.rejected: set[int] = set()
        self._broker = broker
        self._next = 0

    def open(self, after: int | None) -> None:
        """See Source."""
        self._broker._check()
        self._next = 0 if after is None else after + 1

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """See Source."""
        stream = self._broker.streams[self.name]
        with self._broker._changed:
            self._broker._changed.wait_for(
                lambda: len(stream) > self._next or not self._broker.available, timeout_seconds
            )
        self._broker._check()
        messages = stream[self._next : self._next + limit]
        self._next += len(messages)
        return messages

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """See Source."""
        self.finished.extend(messages)
        self.rejected |= rejected

    def close(self) -> None:
        """See Source."""
