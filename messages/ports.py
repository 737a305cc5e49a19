"""The ports to a message broker: what is asked of one, whichever it is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class BrokerUnavailable(Exception):
    """The broker can't be reached or refuses for now; trying again later is right."""


class Message(NamedTuple):
    """A message as it was read.

    position: its offset in a stream; from a queue, a number that grows.
    key: names the message for ever, the same at each delivery: `<stream>:<offset>`, or `<queue>:<message_id>`.
    persistent: whether its sender wants it to survive a restart of the broker; an answer is as durable as its question.
    offset: where it stands in its stream; None in a queue, which has no such thing.
    """

    position: int
    key: str
    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    content_type: str | None = None
    persistent: bool = False
    offset: int | None = None


class Outgoing(NamedTuple):
    """A message to be published to the queue or stream `to`; a stream keeps it, persistent or not."""

    to: str
    body: bytes
    correlation_id: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    content_type: str = "application/json"
    persistent: bool = False


class Source(Protocol):
    """Where messages are read from. One thread uses a source, but for `finish`."""

    name: str

    def open(self, after: int | None) -> None:
        """Begin to read behind position `after`, or at the first message; raises BrokerUnavailable.

        A queue itself knows where to begin and ignores `after`.
        """

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Return 1 to `limit` messages as soon as there are any, or none after the time; raises BrokerUnavailable."""

    def finish(self, messages: Sequence[Message], rejected: frozenset[int]) -> None:
        """Tell the broker that these messages are done with; `rejected` are the positions of the bad ones."""

    def close(self) -> None:
        """Stop reading. Messages not finished stay with the broker."""


class Publisher(Protocol):
    """Where messages are published to. Many threads may use one."""

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return when the broker has confirmed all; raises BrokerUnavailable, and then some may have been taken."""
