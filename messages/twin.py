"""An in-memory twin of a broker, for tests of what is built on the ports."""

import threading
from collections import defaultdict
from collections.abc import Sequence

from messages.ports import (
    Appended,
    Appender,
    BrokerUnavailable,
    Epoch,
    Message,
    Outgoing,
    Place,
    Progress,
    Publisher,
    Source,
)


class MemoryBroker(Publisher, Appender):
    """Append-only streams, with a switch that takes the broker away."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.streams: dict[str, list[Message]] = defaultdict(list)
        self.published: list[Outgoing] = []
        self.appended: dict[str, list[Appended]] = defaultdict(list)
        self.changed = threading.Condition()
        self.available = True

    def set_available(self, available: bool) -> None:
        """Take the broker away, or bring it back."""
        with self.changed:
            self.available = available
            self.changed.notify_all()

    def put(self, stream: str, message: Message) -> int:
        """Put a message on a stream; returns its offset."""
        with self.changed:
            offset = len(self.streams[stream])
            place = Place(offset, Epoch(1, stream))
            self.streams[stream].append(message._replace(position=offset, key=f"{stream}:{offset}", place=place))
            self.changed.notify_all()
            return offset

    def publish(self, messages: list[Outgoing]) -> None:
        """Note the messages in `published`; raises BrokerUnavailable."""
        self.check()
        with self.changed:
            self.published.extend(messages)
        messages.clear()

    def reply(self, messages: list[Outgoing]) -> None:
        """Note the replies in `published` too; raises BrokerUnavailable."""
        self.publish(messages)

    def append(self, name: str, messages: Sequence[Appended]) -> None:
        """Keep in `appended`, by name, what was not there before; raises BrokerUnavailable."""
        self.check()
        with self.changed:
            kept = self.appended[name]
            kept += [message for message in messages if not (name and kept and message.number <= kept[-1].number)]

    def check(self) -> None:
        """Raise BrokerUnavailable while it is away."""
        if not self.available:
            raise BrokerUnavailable("the in-memory broker was taken away")


class MemorySource(Source):
    """Reads a stream of a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        """Read `stream`."""
        self.name = stream
        self.finished: list[int] = []
        self.rejected: set[int] = set()
        self._broker = broker
        self._next: int | None = None

    def open(self, progress: Progress) -> None:
        """Read behind the position that is known; raises BrokerUnavailable."""
        self._broker.check()
        position = progress.take()
        self._next = position.offset + 1 if position else 0
        if position is None:
            progress.begin(0, 1)

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Return what is there, or comes in time; raises BrokerUnavailable."""
        if (first := self._next) is None:
            raise BrokerUnavailable("not connected")
        stream, changed = self._broker.streams[self.name], self._broker.changed
        with changed:
            changed.wait_for(lambda: len(stream) > first or not self._broker.available, timeout_seconds)
        self._broker.check()
        messages = stream[first : first + limit]
        self._next = first + len(messages)
        return messages

    def finish(self, positions: Sequence[int], rejected: frozenset[int]) -> None:
        """Note the positions in `finished`, and those of bad messages in `rejected`."""
        self.finished.extend(positions)
        self.rejected |= rejected

    def stand_by(self) -> None:
        """Do nothing: there is no other reader."""

    def end(self) -> int | None:
        """Return how many messages there are."""
        return len(self._broker.streams[self.name])

    def close(self) -> None:
        """Read no more."""
        self._next = None
