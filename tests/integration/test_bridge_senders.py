"""Whatever is written to a real broker, by either protocol, is answered or parked, and the bridge goes on."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pika import BasicProperties
from pika.exceptions import AMQPError
from rstream import AMQPMessage, Properties

from deploy import runner
from messages.topology import declare_streams
from records import Records
from tests.conftest import RabbitMQNode
from tests.integration.test_bridge import GOOD, bridge, client, environment, source_of, tiny_model
from tests.streams.conversation import write
from tests.system import Client, promote, python_service, through_gateway
from tests.unit.senders import BODIES, ENTRIES

__all__ = ["client", "environment"]  # fixtures
MAX_ENTRY_BYTES = 900_000  # for rstream, with what is around it in a frame
SHORT = st.text(max_size=60) | st.binary(max_size=255)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HEADERS = st.dictionaries(
    WORDS.filter(lambda name: name not in ("CC", "BCC")),  # these are the broker's own: more queues to put it into
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | WORDS | st.binary(max_size=60),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
AMQP_0_9_1: Any = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT | st.sampled_from(("text/plain", "application/json")),
        "content_encoding": SHORT,
        "headers": HEADERS,
        "delivery_mode": st.sampled_from((1, 2)),
        "priority": st.integers(0, 255),
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": st.integers(0, 10**9).map(str),
        "message_id": SHORT,
        "timestamp": st.integers(0, 2**64 - 1),
        "type": SHORT,
        "app_id": SHORT,
        "cluster_id": SHORT,
    },
)
MESSAGES = st.lists(st.tuples(BODIES, AMQP_0_9_1), max_size=10)
# On a system that keeps what earlier examples did, nothing can be made smaller.
real = settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Names that no queue has, or none can have.
STRANGE_QUEUES = (
    "amq.direct",
    "amq.rabbitmq.reply-to",
    "amq.rabbitmq.reply-to.none",
    "amq.rabbitmq.reply-to.g1AAAA==.AAAA",
    "/queues/",
    "/queues/%ff%00",
    "\0",
    "é" * 127,
    "é" * 128,
    "x" * 255,
    "x" * 10_000,
)


class RawHeaders(BasicProperties):
    """Properties that are headers alone, in bytes of one's own."""

    def __init__(self, table: bytes) -> None:
        super().__init__()
        self.table = table

    def encode(self) -> list[bytes]:
        return [struct.pack(">HI", BasicProperties.FLAG_HEADERS, len(self.table)), self.table]


def entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    """A field of a table."""
    return bytes([len(name)]) + name + kind + value


def nested(levels: int) -> bytes:
    """A field that is so many tables deep."""
    found = b""
    for _ in range(levels):
        found = entry(b"t", b"F", struct.pack(">I", len(found)) + found)
    return found


# What RabbitMQ takes, and pika may not be able to read.
RAW_HEADERS = (
    entry(b"\xff", b"S", b"\0\0\0\x01\xff"),
    entry(b"t", b"T", b"\x7f" + b"\xff" * 7),
    entry(b"t", b"T", b"\xff" * 8),
    entry(b"d", b"d", struct.pack(">d", 1e300)),
    entry(b"f", b"f", struct.pack(">f", 1e30)),
    entry(b"D", b"D", b"\xff\x7f\xff\xff\xff"),
    entry(b"b", b"b", b"\xff") + entry(b"b", b"B", b"\xff") + entry(b"s", b"s", b"\xff\xff"),
    entry(b"u", b"u", b"\xff\xff") + entry(b"i", b"i", b"\xff" * 4),
    entry(b"many", b"F", b"\0\0\0\0") * 50,
    nested(5_000),
)


def writer(broker: RabbitMQNode) -> Client:
    """Return a client whose messages are confirmed."""
    found = Client(broker.amqp_url)
    found.channel.confirm_delivery()
    return found


@dataclass
class System:
    """A bridge with all that is behind it, and what was written to it."""

    broker: RabbitMQNode
    records: Records
    client: Client
    log: Path
    writer: Client
    written: dict[str, int] = field(default_factory=dict)

    def by_stream_protocol(self, stream: str, entries: Sequence[bytes]) -> None:
        fitting = [each for each in entries if 0 < len(each) < MAX_ENTRY_BYTES]
        write(self.broker, stream, fitting)
        self.written[stream] = self.written.get(stream, 0) + len(fitting)

    def by_amqp(self, queue: str, messages: Sequence[tuple[bytes, BasicProperties]]) -> int:
        """Publish messages; returns how many the broker has taken."""
        taken = 0
        for body, properties in messages:
            try:
                self.writer.channel.basic_publish("", queue, body, properties, mandatory=True)
                taken += 1
            except AMQPError:
                # Not even the broker takes it, and it closes the connection.
                self.writer.close()
                self.writer = writer(self.broker)
        self.written[queue] = self.written.get(queue, 0) + taken
        return taken

    def is_done(self, stream: str) -> bool:
        return self.records.offset(stream) == self.written[stream] - 1

    def assert_all_is_done(self) -> None:
        """Every message of each stream has a record, or a notice, and none is there because of a bug."""
        for stream in self.written:
            assert runner.wait_until(partial(self.is_done, stream), 20), self.log.read_text()[-3_000:]
        assert "a bug at" not in self.log.read_text()


@pytest.fixture
def system(
    environment: Mapping[str, str], client: Client, records: Records, rabbitmq: RabbitMQNode, tmp_path: Path
) -> Iterator[System]:
    promote(tiny_model())
    labels = f"{source_of(environment)}-labels"
    declare_streams(environment["RABBITMQ_URL"], [labels], 1_000_000_000)
    functions = {
        "predict": python_service("functions.predict", tmp_path, environment),
        "retrain": python_service("functions.retrain", tmp_path, {**environment, "RETRAIN_AFTER": "1000000"}),
    }
    with ExitStack() as stack:
        stack.callback(client.channel.queue_delete, labels)
        url = stack.enter_context(through_gateway(tmp_path, functions))
        process = stack.enter_context(bridge({**environment, "BRIDGE_LABELS": labels}, url, tmp_path))
        (log,) = tmp_path.glob("bridge.*.log")
        found = System(rabbitmq, records, client, log, writer(rabbitmq))
        yield found
        found.writer.close()
        assert process.poll() is None


@real
@given(entries=st.lists(ENTRIES, min_size=1, max_size=10), messages=MESSAGES)
def test_whatever_is_written_by_either_protocol_is_answered_or_parked(
    system: System, environment: Mapping[str, str], entries: list[bytes], messages: list[tuple[bytes, dict[str, Any]]]
) -> None:
    reviews = source_of(environment)
    labels = f"{reviews}-labels"
    for stream in (reviews, labels):
        system.by_stream_protocol(stream, entries)
        system.by_amqp(stream, [(body, BasicProperties(**properties)) for body, properties in messages])
    system.assert_all_is_done()
    database = system.records.database
    recorded = {found["_id"] for found in database["predictions"].find({}, {"_id": 1})}
    parked = {found["_id"] for found in database["rejected"].find({}, {"_id": 1})}
    assert not recorded & parked
    of_reviews = {identifier for identifier in recorded | parked if identifier.startswith(f"{reviews}:")}
    assert of_reviews == {f"{reviews}:{offset}" for offset in range(system.written.get(reviews, 0))}


def test_headers_that_clients_can_not_read_are_no_matter(system: System, environment: Mapping[str, str]) -> None:
    reviews = source_of(environment)
    taken = system.by_amqp(reviews, [(GOOD, RawHeaders(table)) for table in RAW_HEADERS])
    assert taken > len(RAW_HEADERS) // 2
    system.assert_all_is_done()
    assert system.records.database["predictions"].count_documents({}) == taken


def test_replies_to_what_is_no_queue_hold_nothing_up(system: System, environment: Mapping[str, str]) -> None:
    reviews = source_of(environment)
    strange = [AMQPMessage(body=GOOD, properties=Properties(reply_to=name)) for name in STRANGE_QUEUES]
    system.by_stream_protocol(reviews, [bytes(each) for each in strange])
    system.by_amqp(reviews, [(GOOD, BasicProperties(reply_to="replies", correlation_id="last"))])
    system.assert_all_is_done()
    assert [properties.correlation_id for properties, _ in system.client.drain("replies")] == ["last"]
    assert len(system.client.read_stream("predictions")) == len(STRANGE_QUEUES) + 1


def test_the_largest_messages_are_parked_as_notices_that_all_servers_take(
    system: System, environment: Mapping[str, str]
) -> None:
    labels = f"{source_of(environment)}-labels"
    bodies = [
        b'{"text": "a", "label": "%b"}' % ("\x80" * 3_500_000).encode(),
        b'{"text": "a", "label": "%b"}' % (b"\\u0001" * 1_000_000),
        b"\x01" * 7_000_000,
    ]
    assert system.by_amqp(labels, [(body, BasicProperties(correlation_id="c" * 255)) for body in bodies]) == 3
    system.assert_all_is_done()
    assert system.records.database["rejected"].count_documents({}) == 3
    assert max(len(body) for _, body in system.client.read_stream("rejected")) < 100_000


@dataclass
class Queue:
    """A queue that a bridge reads."""

    name: str
    system: System
    markers: int = 0

    def assert_goes_on(self) -> None:
        """What comes behind all else is answered."""
        self.markers += 1
        marker = f"marker {self.markers}"
        properties = BasicProperties(message_id=marker, correlation_id=marker, reply_to="replies")
        self.system.by_amqp(self.name, [(GOOD, properties)])
        assert runner.wait_until(lambda: self.system.client.depth("replies") == self.markers, 20), (
            self.system.log.read_text()[-3_000:]
        )


@pytest.fixture
def queue(
    environment: Mapping[str, str], client: Client, records: Records, rabbitmq: RabbitMQNode, tmp_path: Path
) -> Iterator[Queue]:
    promote(tiny_model())
    name = f"{source_of(environment)}-queue"
    client.declare(name)
    own = {**environment, "BRIDGE_SOURCE": f"queue:{name}", "BRIDGE_LABELS": ""}
    with ExitStack() as stack:
        stack.callback(client.channel.queue_delete, name)
        predict = {"predict": python_service("functions.predict", tmp_path, environment)}
        url = stack.enter_context(through_gateway(tmp_path, predict))
        process = stack.enter_context(bridge(own, url, tmp_path))
        (log,) = tmp_path.glob("bridge.*.log")
        system = System(rabbitmq, records, client, log, writer(rabbitmq))
        yield Queue(name, system)
        system.writer.close()
        process.terminate()
        assert process.wait(30) == 0
        # What it had in hand and did not finish would be there again.
        assert client.depth(name) == 0
        assert "a bug at" not in log.read_text()


@real
@given(messages=MESSAGES)
def test_a_queue_is_emptied_whatever_is_in_it(queue: Queue, messages: list[tuple[bytes, dict[str, Any]]]) -> None:
    # What expires in the queue is gone before anybody sees it.
    kept = [
        (body, {name: value for name, value in properties.items() if name != "expiration"})
        for body, properties in messages
    ]
    queue.system.by_amqp(queue.name, [(body, BasicProperties(**properties)) for body, properties in kept])
    queue.assert_goes_on()


def test_headers_that_pika_can_not_read_hold_no_queue_up(queue: Queue) -> None:
    taken = queue.system.by_amqp(
        queue.name, [(GOOD + b" " * n, RawHeaders(table)) for n, table in enumerate(RAW_HEADERS)]
    )
    assert taken > len(RAW_HEADERS) // 2
    queue.assert_goes_on()
    assert queue.system.records.database["predictions"].count_documents({}) == taken + 1
