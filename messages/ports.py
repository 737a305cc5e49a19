"""The ports to a message broker: what is asked of one, whichever it is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""A larger message can't be a text within limits, escaped in the longest way: its body is not read."""


def size_problem(size_bytes: int) -> str | None:
    """Return why a message of so many bytes is not read, None where it is."""
    return (
        f"it has {size_bytes} bytes; at most {MAX_MESSAGE_BYTES} are read" if size_bytes > MAX_MESSAGE_BYTES else None
    )


class BrokerUnavailable(Exception):
    """The broker can't be reached or refuses for now; trying again later is right."""


class StreamMissing(BrokerUnavailable):
    """There is no such stream."""


class Superseded(Exception):
    """Another reader has taken the stream over: what this one has not finished, that one does."""


class Epoch(NamedTuple):
    """One life of a stream: an offset says nothing of another stream that had its name before it was made anew.

    began_at: the time of the first chunk that was read of it, in milliseconds since 1970.
    key_prefix: what the keys of its messages begin with, the stream's name in its first life.
    """

    began_at: int
    key_prefix: str


class Position(NamedTuple):
    """Where a reader of a stream stands: the offset it is done with, in which life of the stream.

    chunk_time: when the broker wrote the chunk that holds this offset, in milliseconds since 1970; None where the
    release that stored it did not say.
    """

    offset: int
    chunk_time: int | None
    epoch: Epoch


class Message(NamedTuple):
    """A message as it was read.

    position: its offset in a stream; from a queue, a number that grows.
    key: names the message for ever, the same at each delivery: `<stream>:<offset>`, or in a queue by its content.
    persistent: whether its sender wants it to survive a restart of the broker; an answer is as durable as its question.
    place: where it stands in its stream; None in a queue, which has no such thing.
    traceparent: whose work it is, as its sender says in a header of this name.
    problem: why there is no body that could be read, None where there is one.
    """

    position: int
    key: str
    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    content_type: str | None = None
    persistent: bool = False
    place: "Place | None" = None
    problem: str | None = None
    traceparent: str | None = None

    @property
    def offset(self) -> int | None:
        """Return its offset in its stream, None in a queue."""
        return self.position if self.place else None

    @property
    def stands_at(self) -> Position | None:
        """Return the position of a reader that is done with it, None in a queue."""
        return Position(self.position, *self.place) if self.place else None


class Place(NamedTuple):
    """What the messages of one chunk of a stream share; see Position."""

    chunk_time: int
    epoch: Epoch


class Outgoing(NamedTuple):
    """A message to be published to the queue or stream `to`; a stream keeps it, persistent or not.

    exchange: where `to` is no queue but a routing key for it.
    """

    to: str
    body: bytes
    correlation_id: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    content_type: str = "application/json"
    persistent: bool = False
    exchange: str = ""
    traceparent: str | None = None


class Progress(Protocol):
    """How far a stream has been read, remembered outside the broker. Its methods wait for as long as it takes."""

    def take(self) -> Position | None:
        """Become the one who stores, in place of any other, and return the position stored, None if there is none."""

    def begin(self, first_offset: int, began_at: int) -> Epoch:
        """Return the epoch of a stream that begins at that offset and time, of which no position is known."""

    def missed(self, first: int, after: int) -> None:
        """Note that the broker has dropped the messages from offset `first` to before `after` unread."""


class Source(Protocol):
    """Where messages are read from. One thread uses a source, but for `finish` and `end`."""

    name: str

    def open(self, progress: Progress) -> None:
        """Begin to read, or to wait for one's turn to; raises BrokerUnavailable.

        A stream is read behind the position that `progress` holds when the turn comes. A queue itself knows where to
        begin and ignores it.
        """

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        """Return 1 to `limit` messages as soon as there are any, or none after the time.

        Raises BrokerUnavailable, and Superseded once another reader waits for this one to call `stand_by`.
        """

    def stand_by(self) -> None:
        """Let another reader go on; what this one has in hand is finished. Raises BrokerUnavailable."""

    def finish(self, positions: Sequence[int], rejected: frozenset[int]) -> None:
        """Tell the broker that the messages there are done with; `rejected` are the positions of the bad ones."""

    def end(self) -> int | None:
        """Return the offset behind the last message of a stream, None where another reader has its turn.

        Raises BrokerUnavailable.
        """

    def close(self) -> None:
        """Stop reading. Messages not finished stay with the broker."""


class Publisher(Protocol):
    """Where messages are published to. Many threads may use one."""

    def publish(self, messages: list[Outgoing]) -> None:
        """Publish messages, and take from the list what the broker has confirmed; raises BrokerUnavailable.

        Then what is left in the list was not taken, or nobody knows: it is to be published again.
        """

    def reply(self, messages: list[Outgoing]) -> None:
        """Send replies, and take from the list what was confirmed or dropped; raises BrokerUnavailable, as above.

        What the queue of a reply does not take, or does not confirm in time, is dropped: those who wait for others'
        replies are not to wait for it.
        """


class Appended(NamedTuple):
    """What is appended to a stream; number: grows with each under one name, and the broker drops repeats by it."""

    number: int
    body: bytes
    correlation_id: str | None
    traceparent: str | None = None


class Appender(Protocol):
    """Where messages are appended to one stream, each once. Many threads may use one, each name by one at a time."""

    def append(self, name: str, messages: Sequence[Appended]) -> None:
        """Return when the broker has confirmed all; raises BrokerUnavailable, and then some may have been taken.

        What has been taken under `name` with the same number or a higher one is dropped: repeating is safe, in order.
        An empty name has nothing dropped.
        """
