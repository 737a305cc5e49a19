"""What every source does, whichever kind; and what a stream and a queue of RabbitMQ do in their own way."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from pika import BasicProperties

from contracts.limits import MAX_ID_CHARACTERS
from deploy.runner import wait_until
from messages.ports import MAX_MESSAGE_BYTES, BrokerUnavailable, Message, Outgoing, Source
from messages.publisher import AmqpPublisher
from messages.queue_source import QueueSource
from messages.stream_source import StreamSource
from messages.topology import declare_queue
from messages.twin import MemoryBroker, MemorySource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import LONG_SECONDS, MemoryProgress, bodies_of, group_of, read
from tests.system import Client

MESSAGES = 50


class Kind(ABC):
    """An implementation of the port, and the broker it reads from."""

    def __init__(self, name: str, broker: Callable[[], RabbitMQNode]) -> None:
        self.name = name
        self.broker = broker

    @abstractmethod
    def source(self, *, prefetch: int = 1000) -> Source: ...

    @abstractmethod
    def publish(self, bodies: Sequence[bytes]) -> None:
        """Put messages where the source reads, each with properties that are its number."""

    @abstractmethod
    def take_away(self) -> None:
        """Make it impossible to read on."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""


class Memory(Kind):
    def __init__(self, name: str, broker: Callable[[], RabbitMQNode]) -> None:
        super().__init__(name, broker)
        self.memory = MemoryBroker()

    def source(self, *, prefetch: int = 1000) -> Source:  # noqa: ARG002 - nothing is sent ahead
        return MemorySource(self.memory, self.name)

    def publish(self, bodies: Sequence[bytes]) -> None:
        for number, body in enumerate(bodies):
            self.memory.put(self.name, Message(0, "", body, str(number), str(number), "replies", persistent=True))

    def take_away(self) -> None:
        self.memory.set_available(False)

    def close(self) -> None:
        pass  # it held nothing


class RabbitMQ(Kind):
    kind: str

    def __init__(self, name: str, broker: Callable[[], RabbitMQNode]) -> None:
        super().__init__(name, broker)
        self.node = broker()
        self.client = Client(self.node.amqp_url)
        self.client.declare(name, self.kind)

    def publish(self, bodies: Sequence[bytes]) -> None:
        self.client.publish(self.name, bodies, reply_to="replies", persistent=True)

    def take_away(self) -> None:
        self.client.channel.queue_delete(self.name)

    def close(self) -> None:
        self.take_away()
        self.client.close()


class Stream(RabbitMQ):
    kind = "stream"

    def source(self, *, prefetch: int = 1000) -> Source:  # noqa: ARG002 - a stream is read as far as there is room
        return StreamSource(self.node.stream_url, self.name)


class GroupStream(Stream):
    def source(self, *, prefetch: int = 1000) -> Source:  # noqa: ARG002 - as above
        return StreamSource(self.node.stream_url, self.name, group=group_of(self.node))


class Quorum(RabbitMQ):
    kind = "quorum"

    def source(self, *, prefetch: int = 1000) -> Source:
        return QueueSource(self.node.amqp_url, self.name, prefetch=prefetch)


@pytest.fixture(params=[Memory, Stream, GroupStream, Quorum], ids=["memory", "stream", "group", "queue"])
def kind(request: pytest.FixtureRequest, stream_name: str) -> Iterator[Kind]:
    found: Kind = request.param(stream_name, lambda: request.getfixturevalue("broker"))
    yield found
    found.close()


@pytest.fixture
def progress(kind: Kind) -> MemoryProgress:
    return MemoryProgress(kind.name)


@pytest.fixture
def source(kind: Kind) -> Iterator[Source]:
    found = kind.source()
    yield found
    found.close()


def test_messages_come_in_order_with_their_properties(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    kind.publish(bodies_of(MESSAGES))
    source.open(progress)
    messages = read(source, MESSAGES)
    assert [message.body for message in messages] == bodies_of(MESSAGES)
    positions = [message.position for message in messages]
    assert positions == list(range(positions[0], positions[0] + MESSAGES))
    assert {type(position) for position in positions} == {int}, "a subclass can't be encoded"
    assert len({message.key for message in messages}) == MESSAGES
    assert all(message.key.startswith(f"{kind.name}:") for message in messages)
    last = messages[-1]
    assert (last.message_id, last.correlation_id, last.reply_to) == (str(MESSAGES - 1), str(MESSAGES - 1), "replies")
    assert last.persistent


def test_no_more_is_read_than_asked_for_and_nothing_where_nothing_is(
    kind: Kind, source: Source, progress: MemoryProgress
) -> None:
    source.open(progress)
    assert source.read(10, 0.05) == []
    kind.publish(bodies_of(5))
    messages = read(source, 1) + read(source, 3)
    assert [message.body for message in messages] == bodies_of(4)
    assert len(source.read(1000, LONG_SECONDS)) == 1


def test_a_message_is_read_as_soon_as_it_comes(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    source.open(progress)
    found: list[Message] = []
    reader = threading.Thread(target=lambda: found.extend(source.read(10, 60)))
    reader.start()
    kind.publish([b"late"])
    reader.join(LONG_SECONDS)
    assert [message.body for message in found] == [b"late"]


def test_what_was_not_finished_comes_again_under_the_same_key(
    kind: Kind, source: Source, progress: MemoryProgress
) -> None:
    kind.publish(bodies_of(6))
    source.open(progress)
    messages = read(source, 6)
    positions = [message.position for message in messages]
    source.finish(positions[:2], frozenset())
    source.finish(positions[2:4], frozenset({positions[3]}))
    progress.done(messages[:4])
    source.close()
    source.open(progress)
    again = read(source, 2)
    assert [message.body for message in again] == bodies_of(2, first=4)
    assert [message.key for message in again] == [message.key for message in messages[4:]]
    assert source.read(10, 0.2) == []


def test_messages_of_an_earlier_connection_can_be_finished_on_a_later_one(
    kind: Kind, source: Source, progress: MemoryProgress
) -> None:
    kind.publish(bodies_of(2))
    source.open(progress)
    messages = read(source, 2)
    progress.done(messages)
    source.open(progress)
    source.finish([message.position for message in messages], frozenset())
    kind.publish([b"next"])
    assert source.read(10, LONG_SECONDS)


def test_a_source_that_is_not_open_can_not_be_read(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    with pytest.raises(BrokerUnavailable):
        source.read(1, LONG_SECONDS)
    source.open(progress)
    source.close()
    with pytest.raises(BrokerUnavailable):
        source.read(1, LONG_SECONDS)
    assert kind.name == source.name


def test_a_broker_that_can_not_serve_is_said_when_reading_and_when_opening(
    kind: Kind, source: Source, progress: MemoryProgress
) -> None:
    source.open(progress)
    failed = threading.Event()

    def read_on() -> None:
        with pytest.raises(BrokerUnavailable):
            source.read(10, 60)
        failed.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    kind.take_away()
    reader.join(LONG_SECONDS)
    assert failed.is_set()
    with pytest.raises(BrokerUnavailable):
        source.open(progress)


@pytest.mark.parametrize("kind", [Memory, Stream, GroupStream], ids=["memory", "stream", "group"], indirect=True)
def test_a_stream_is_read_behind_any_offset(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    kind.publish(bodies_of(MESSAGES))
    source.open(progress)
    messages = read(source, MESSAGES)
    assert [message.offset for message in messages] == [message.position for message in messages] == list(range(50))
    progress.done(messages[:30])
    source.open(progress)
    assert [message.offset for message in read(source, 20)] == list(range(30, 50))


@pytest.mark.parametrize("kind", [Memory, Stream, GroupStream], ids=["memory", "stream", "group"], indirect=True)
def test_the_end_of_a_stream_is_behind_its_last_message_whatever_was_read(
    kind: Kind, source: Source, progress: MemoryProgress
) -> None:
    kind.publish(bodies_of(MESSAGES))
    source.open(progress)
    read(source, 1)
    assert source.end() == MESSAGES
    kind.publish(bodies_of(2))
    assert wait_until(lambda: source.end() == MESSAGES + 2, LONG_SECONDS)


@pytest.mark.parametrize("kind", [Quorum], ids=["queue"], indirect=True)
def test_a_queue_has_no_end_that_is_known(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    kind.publish([b"text"])
    source.open(progress)
    assert source.end() is None


@pytest.mark.parametrize("kind", [Quorum], ids=["queue"], indirect=True)
def test_a_message_of_a_queue_has_no_offset(kind: Kind, source: Source, progress: MemoryProgress) -> None:
    kind.publish([b"text"])
    source.open(progress)
    (message,) = read(source, 1)
    assert (message.offset, message.place, message.stands_at) == (None, None, None)
    assert message.key.startswith(f"{kind.name}:0:")


@pytest.mark.parametrize(("kind", "expected"), [(Stream, MESSAGES), (Quorum, 10)], indirect=["kind"])
def test_a_stream_is_read_on_before_anything_is_finished_and_a_queue_no_further_than_its_prefetch(
    kind: Kind, progress: MemoryProgress, expected: int
) -> None:
    kind.publish(bodies_of(MESSAGES))
    source = kind.source(prefetch=10)
    source.open(progress)
    found: list[Message] = []
    while messages := source.read(MESSAGES, 1):
        found += messages
    assert [message.body for message in found] == bodies_of(expected)
    source.close()


LARGE = b"x" * 100_000


def paused(source: QueueSource) -> bool:
    connection = source._connection
    return connection is not None and connection._connection.paused


def full_or_all_there(source: QueueSource, count: int) -> bool:
    return paused(source) or len(source._arrived) == count


@pytest.mark.parametrize("kind", [Quorum], ids=["queue"], indirect=True)
def test_a_queue_is_read_no_further_than_its_buffer_has_room_and_then_on_to_its_end(
    kind: RabbitMQ, progress: MemoryProgress
) -> None:
    room = 1_000_000
    expected = [LARGE + b"%d" % number for number in range(200)]
    kind.publish(expected)
    source = QueueSource(kind.node.amqp_url, kind.name, prefetch=1_000, buffer_bytes=room)
    source.open(progress)
    found: list[Message] = []
    most = 0
    while len(found) < len(expected):
        assert wait_until(partial(full_or_all_there, source, len(expected) - len(found)), LONG_SECONDS)
        most = max(most, sum(len(message.body) for message in source._arrived))
        messages = read(source, min(7, len(expected) - len(found)))
        source.finish([message.position for message in messages], frozenset())
        found += messages
    source.close()
    assert [message.body for message in found] == expected
    # What pika reads at a time may hold one more message than there is room for.
    assert room < most < room + 4 * len(LARGE)


@pytest.mark.parametrize("kind", [Stream, Quorum], ids=["stream", "queue"], indirect=True)
def test_a_body_that_is_too_large_is_left_out_and_what_comes_behind_it_is_read(
    kind: RabbitMQ, source: Source, progress: MemoryProgress
) -> None:
    # In a stream, what is around a body counts, too.
    large, too_large = b"x" * (MAX_MESSAGE_BYTES - 1_000), b"x" * (MAX_MESSAGE_BYTES + 1)
    kind.publish([b"first", too_large, too_large, large, b"last"])
    source.open(progress)
    messages = read(source, 5)
    assert [message.body for message in messages] == [b"first", b"", b"", large, b"last"]
    problems = [(message.problem or "").partition("; ")[2] for message in messages]
    assert problems == ["", *[f"at most {MAX_MESSAGE_BYTES} are read"] * 2, "", ""]
    # What is left out is told apart by what else is known of it.
    assert len({message.key for message in messages}) == 5


@pytest.mark.parametrize("kind", [Quorum], ids=["queue"], indirect=True)
def test_a_queue_that_is_not_read_for_longer_than_heartbeats_allow_stays_open(
    kind: RabbitMQ, progress: MemoryProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messages.amqp.HEARTBEAT_SECONDS", 1)
    kind.publish([LARGE] * 50)
    source = QueueSource(kind.node.amqp_url, kind.name, prefetch=1_000, buffer_bytes=1_000_000)
    source.open(progress)
    connection = source._connection
    assert connection
    assert wait_until(lambda: paused(source), LONG_SECONDS)
    # pika looks after one heartbeat and five seconds.
    assert not wait_until(lambda: connection.closed, 8)
    assert len(read(source, 50)) == 50
    assert source._connection is connection
    assert not connection.closed
    source.close()


@pytest.mark.parametrize("kind", [Quorum], ids=["queue"], indirect=True)
def test_a_queue_that_is_closed_while_its_buffer_is_full_takes_what_was_finished_and_keeps_the_rest(
    kind: RabbitMQ, progress: MemoryProgress
) -> None:
    kind.publish([LARGE] * 50)
    source = QueueSource(kind.node.amqp_url, kind.name, prefetch=1_000, buffer_bytes=1_000_000)
    source.open(progress)
    assert wait_until(lambda: paused(source), LONG_SECONDS)
    source.finish([message.position for message in read(source, 2)], frozenset())
    source.close()
    source.open(progress)
    assert len(read(source, 48)) == 48
    assert source.read(10, 0.2) == []
    source.close()


def test_a_stream_can_be_read_from_its_end(broker: RabbitMQNode, stream_name: str) -> None:
    kind = Stream(stream_name, lambda: broker)
    kind.publish([b"earlier"])
    assert len(kind.client.read_stream(stream_name)) == 1
    source = StreamSource(broker.stream_url, stream_name, from_end=True)
    source.open()
    kind.publish([b"later"])
    assert [message.body for message in read(source, 1)] == [b"later"]
    source.close()
    kind.close()


def test_what_a_queue_rejects_goes_to_its_dead_letter_exchange(broker: RabbitMQNode, stream_name: str) -> None:
    declare_queue(broker.amqp_url, stream_name)
    client = Client(broker.amqp_url)
    client.publish(stream_name, [b"good", b"bad"])
    source = QueueSource(broker.amqp_url, stream_name, prefetch=10)
    source.open()
    good, bad = read(source, 2)
    source.finish([good.position, bad.position], frozenset({bad.position}))
    dead = client.channel.consume(f"{stream_name}.rejected", auto_ack=True, inactivity_timeout=LONG_SECONDS)
    assert next(dead)[2] == b"bad"
    client.channel.cancel()
    source.close()
    assert client.depth(stream_name) == 0
    for name in (stream_name, f"{stream_name}.rejected"):
        client.channel.queue_delete(name)
    client.close()


@pytest.mark.parametrize("kind", [Stream, Quorum], ids=["stream", "queue"], indirect=True)
def test_properties_that_are_not_utf_8_are_read_as_text_that_can_be_sent_again(
    kind: RabbitMQ, source: Source, progress: MemoryProgress
) -> None:
    broken, long = b"\xff" + b"a" * 254, "i" * 255
    properties: list[tuple[Any, Any]] = [(broken, broken), (b"b\xff", b"b\xff"), (long, long)]
    for message_id, other in properties:
        kind.client.channel.basic_publish(
            "", kind.name, b"text", BasicProperties(message_id=message_id, correlation_id=other, reply_to=other)
        )
    source.open(progress)
    found = read(source, 3)
    others = ["\ufffd" + "a" * 252, "b\ufffd", long]
    assert [message.correlation_id for message in found] == [message.reply_to for message in found] == others
    assert [message.message_id for message in found] == [other[:MAX_ID_CHARACTERS] for other in others]
    publisher = AmqpPublisher(kind.node.amqp_url)
    publisher.publish(
        [Outgoing(kind.name, b"", message.correlation_id, message.message_id, message.reply_to) for message in found]
    )
    publisher.close()
