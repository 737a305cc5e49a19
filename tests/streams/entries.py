"""Whatever clients write to a stream comes as a message, with a body or with the reason why there is none."""

import gzip
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from pika import BasicProperties
from rstream import AMQPMessage, Header, Properties, RawMessage
from rstream.compression import CompressionType

from contracts.limits import MAX_ID_CHARACTERS
from messages.ports import Message, Source
from messages.stream_source import StreamSource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import MemoryProgress, read, write, write_batch
from tests.system import Client

UUID = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
RUBBISH = [b"\x00", b"\x00S", b"\x00Su", b"\x00Su\xa0\xff", b"\xff" * 300, bytes(range(256)), b"\x00Sp\xc0\x01"]


class Written(NamedTuple):
    """What rstream writes, and what comes of it: a body, and ids; None where it is a problem."""

    message: AMQPMessage | bytes
    body: bytes | None
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    content_type: str | None = None
    persistent: bool = False


LONG = "ä" * 300
EVERYTHING: dict[str, Any] = {
    "header": Header(durable=True, priority=3, ttl=1000),
    "delivery_annotations": {b"x-opt-a": "b"},
    "message_annotations": {b"x-opt-number": 1, b"x-opt-text": "text", b"x-opt-bytes": b"\xff"},
    "application_properties": {"number": -5, "text": "é", "yes": True, "none": None, "float": 1.5, "id": UUID},
    "footer": {b"end": 1},
}
WRITTEN = {
    "plain text": Written(b"a text", b"a text"),
    "plain JSON": Written(json.dumps({"text": "é"}).encode(), b'{"text": "\\u00e9"}'),
    "one byte": Written(b"\x01", b"\x01"),
    "a text as body": Written(AMQPMessage(body="text"), b"text"),
    "a long text that is not ASCII as body": Written(AMQPMessage(body=LONG), LONG.encode()),
    "bytes as body": Written(AMQPMessage(body=b"bytes"), b"bytes"),
    "long bytes as body": Written(AMQPMessage(body=b"b" * 100_000), b"b" * 100_000),
    "an empty body": Written(AMQPMessage(body=b"", properties=Properties(message_id="m")), b"", "m"),
    "properties": Written(
        AMQPMessage(
            body=b"body",
            properties=Properties(message_id="m", correlation_id="c", reply_to="r", content_type="text/plain"),
        ),
        b"body", "m", "c", "r", "text/plain",
    ),
    "everything": Written(
        AMQPMessage(body=b"body", properties=Properties(message_id="m", user_id=b"u", subject="s"), **EVERYTHING),
        b"body", "m", persistent=True,
    ),
    "ids that are not UTF-8": Written(
        AMQPMessage(body=b"body", properties=Properties(message_id=b"\xffm", correlation_id=b"\xffc")),
        b"body", "\ufffdm", "\ufffdc",
    ),
    "UUIDs as ids": Written(
        AMQPMessage(body=b"body", properties=Properties(message_id=UUID, correlation_id=UUID)),
        b"body", UUID.urn, UUID.urn,
    ),
    "numbers as ids": Written(
        AMQPMessage(body=b"body", properties=Properties(message_id=7, correlation_id=2**64 - 1)),
        b"body", "7", str(2**64 - 1),
    ),
    "long properties": Written(
        AMQPMessage(body=b"body", properties=Properties(message_id="m" * 300, correlation_id=LONG, reply_to=LONG)),
        b"body", "m" * MAX_ID_CHARACTERS, "ä" * 127, "ä" * 127,
    ),
    "a sequence": Written(AMQPMessage(sequence=[1, "a", None]), None),
    "a text as value": Written(AMQPMessage(value="text"), b"text"),
    "bytes as value": Written(AMQPMessage(value=b"bytes"), b"bytes"),
    "a map as value": Written(AMQPMessage(value={"text": "a"}), None),
    "a number as value": Written(AMQPMessage(value=5), None),
}  # fmt: skip


@pytest.fixture
def reader(broker: RabbitMQNode, stream: str) -> Iterator[Source]:
    found = StreamSource(broker.stream_url, stream)
    yield found
    found.close()


def summary(message: Message) -> Written:
    """Return what came, written like what was expected."""
    assert (message.problem is None) or message.problem
    return Written(
        b"", None if message.problem else message.body, message.message_id, message.correlation_id, message.reply_to,
        message.content_type, message.persistent,
    )  # fmt: skip


def assert_come(found: Sequence[Message], expected: Sequence[Written], stream: str) -> None:
    assert [message.position for message in found] == list(range(len(expected)))
    assert [message.key for message in found] == [f"{stream}:{offset}" for offset in range(len(expected))]
    assert [summary(message) for message in found] == [written._replace(message=b"") for written in expected]


def test_all_that_rstream_writes_comes_in_order(broker: RabbitMQNode, stream: str, reader: Source) -> None:
    expected = list(WRITTEN.values())
    write(broker, stream, [written.message for written in expected])
    reader.open(MemoryProgress(stream))
    found = read(reader, len(expected))
    assert_come(found, expected, stream)
    problems = {message.problem for message in found}
    assert "an AMQP sequence, neither text nor bytes" in problems
    assert "an AMQP value of type map, neither text nor bytes" in problems


def test_rubbish_comes_as_a_body_or_a_problem_and_stops_nothing(
    broker: RabbitMQNode, stream: str, reader: Source
) -> None:
    random.seed(5)
    damaged = [bytearray(bytes(AMQPMessage(body=b"body", properties=Properties(message_id="m")))) for _ in range(40)]
    for entry in damaged:
        entry[random.randrange(len(entry))] = random.randrange(256)
    entries = [*RUBBISH, *map(bytes, damaged), *(random.randbytes(random.randrange(1, 90)) for _ in range(40))]
    write(broker, stream, [*entries, b"the end"])
    reader.open(MemoryProgress(stream))
    found = read(reader, len(entries) + 1)
    assert [message.position for message in found] == list(range(len(entries) + 1))
    assert (found[-1].body, found[-1].problem) == (b"the end", None)
    # What can't be read is handed on as it is, for somebody to look at.
    assert [entry for entry, message in zip(entries, found, strict=False) if message.problem] == [
        message.body for message in found if message.problem
    ]
    assert any(message.problem for message in found)


@pytest.mark.parametrize("compression", [CompressionType.No, CompressionType.Gzip], ids=["uncompressed", "gzip"])
def test_batches_come_with_an_offset_for_each_message(
    broker: RabbitMQNode, stream: str, reader: Source, compression: CompressionType
) -> None:
    expected = [written for written in WRITTEN.values() if isinstance(written.message, AMQPMessage)]
    batch = [written.message for written in expected if isinstance(written.message, AMQPMessage)]
    write(broker, stream, [b"before"])
    write_batch(broker, stream, batch, compression)
    write_batch(broker, stream, [RawMessage(b"raw %d" % number) for number in range(3)], compression)
    write(broker, stream, [b"behind"])
    raw = [Written(b"", b"raw %d" % number) for number in range(3)]
    reader.open(MemoryProgress(stream))
    everything = [Written(b"", b"before"), *expected, *raw, Written(b"", b"behind")]
    assert_come(read(reader, len(everything)), everything, stream)


def test_reading_goes_on_in_the_middle_of_a_batch(broker: RabbitMQNode, stream: str, reader: Source) -> None:
    write_batch(broker, stream, [RawMessage(b"%d" % number) for number in range(10)], CompressionType.Gzip)
    progress = MemoryProgress(stream)
    reader.open(progress)
    progress.done(read(reader, 4))
    reader.open(progress)
    assert [(message.position, message.body) for message in read(reader, 6)] == [
        (number, b"%d" % number) for number in range(4, 10)
    ]
    assert progress.gaps == []


def test_a_batch_that_can_not_be_unpacked_is_a_problem_at_each_of_its_offsets(
    broker: RabbitMQNode, stream: str, reader: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [RawMessage(b"%d" % number) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(gzip, "compress", lambda data: b"no gzip")
        write_batch(broker, stream, batch, CompressionType.Gzip)
    write(broker, stream, [b"behind"])
    reader.open(MemoryProgress(stream))
    found = read(reader, 4)
    assert [message.position for message in found] == list(range(4))
    assert all("no gzip" in (message.problem or "") for message in found[:3])
    assert (found[3].body, found[3].problem) == (b"behind", None)


def test_all_that_amqp_0_9_1_writes_comes_in_order(broker: RabbitMQNode, stream: str, reader: Source) -> None:
    headers = {"number": 1, "nested": {"list": [1, "a", None]}, "bytes": b"\xff", "x-header": True}
    ids = {"message_id": "m", "correlation_id": "c", "reply_to": "r", "content_type": "application/json"}
    expected: list[tuple[bytes, dict[str, Any], Written]] = [
        (b"", {}, Written(b"", b"")),
        (b"text", {"delivery_mode": 1}, Written(b"", b"text")),
        (b"\xff" * 300, {"delivery_mode": 2}, Written(b"", b"\xff" * 300, persistent=True)),
        (b"body", {"headers": headers, "priority": 3, "expiration": "100000", "timestamp": 1_700_000_000, **ids},
         Written(b"", b"body", "m", "c", "r", "application/json")),
        (b"body", {"message_id": b"\xffm", "correlation_id": b"\xffc"}, Written(b"", b"body", "\ufffdm", "\ufffdc")),
        (b"b" * 1_000_000, {}, Written(b"", b"b" * 1_000_000)),
    ]  # fmt: skip
    client = Client(broker.amqp_url)
    for body, properties, _ in expected:
        client.channel.basic_publish("", stream, body, BasicProperties(**properties))
    client.close()
    reader.open(MemoryProgress(stream))
    assert_come(read(reader, len(expected)), [written for _, _, written in expected], stream)
