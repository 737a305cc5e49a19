"""What a real broker stores in a stream for a message of AMQP 0.9.1, and what its readers get of an entry of ours."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from pika import BasicProperties
from rstream import Consumer, ConsumerOffsetSpecification, MessageContext, OffsetType, Producer, RawMessage

from messages.amqp10 import Entry, decode, encode
from tests.conftest import RabbitMQNode
from tests.system import Client

TIMEOUT_SECONDS = 20.0
EVERYTHING = {
    "content_encoding": "gzip",
    "headers": {"number": 1, "nested": {"list": [1, "a", None]}, "bytes": b"\xff", "x-header": True},
    "priority": 3,
    "expiration": "100000",
    "timestamp": 1_700_000_000,
    "type": "type",
    "app_id": "app",
}
URN = "urn:uuid:123e4567-e89b-12d3-a456-426614174000"


def entries_of(url: str, stream: str, count: int) -> list[bytes]:
    """Return the first entries of a stream as they are stored."""

    async def read() -> list[bytes]:
        found: list[bytes] = []
        complete = asyncio.Event()

        def take(entry: object, _: MessageContext) -> None:
            assert isinstance(entry, bytes)
            found.append(entry)
            if len(found) == count:
                complete.set()

        address = urlsplit(url)
        consumer = Consumer(
            address.hostname or "", address.port or 0, username=address.username or "", password=address.password or ""
        )
        first = ConsumerOffsetSpecification(OffsetType.FIRST, None)
        await consumer.subscribe(stream, take, offset_specification=first)
        try:
            await asyncio.wait_for(complete.wait(), TIMEOUT_SECONDS)
        finally:
            await consumer.close()
        return found

    return asyncio.run(read())


def write(url: str, stream: str, entries: Sequence[bytes]) -> None:
    """Write entries to a stream as they are."""

    async def send() -> None:
        address = urlsplit(url)
        async with Producer(
            address.hostname or "", address.port or 0, username=address.username or "", password=address.password or ""
        ) as producer:
            for entry in entries:
                await producer.send_wait(stream, RawMessage(entry))

    asyncio.run(send())


@pytest.fixture
def client(rabbitmq: RabbitMQNode, stream_name: str) -> Client:
    found = Client(rabbitmq.amqp_url)
    found.declare(stream_name, "stream")
    return found


def test_what_the_broker_stores_of_amqp_0_9_1_is_read(rabbitmq: RabbitMQNode, client: Client, stream_name: str) -> None:
    broken = {"message_id": b"\xffm", "correlation_id": b"\xffc", "reply_to": b"\xffr"}
    ids = {"message_id": "m", "correlation_id": URN, "reply_to": "r", "content_type": "application/json"}
    long = {name: letter * 255 for name, letter in zip(ids, "mcrt", strict=True)}
    expected: list[tuple[bytes, dict[str, Any], Entry]] = [
        (b"", {}, Entry(b"")),
        (b"x" * 300, {"delivery_mode": 1}, Entry(b"x" * 300)),
        (b"body", {"delivery_mode": 2}, Entry(b"body", persistent=True)),
        (
            b"body",
            {**EVERYTHING, **ids, "delivery_mode": 2},
            Entry(b"body", "m", URN, "r", "application/json", persistent=True),
        ),
        (b"body", {**EVERYTHING, **broken}, Entry(b"body", "\ufffdm", "\ufffdc", "\ufffdr")),
        (b"body", long, Entry(b"body", "m" * 255, "c" * 255, "r" * 255, "t" * 255)),
    ]
    for body, properties, _ in expected:
        client.channel.basic_publish("", stream_name, body, BasicProperties(**properties))
    found = entries_of(rabbitmq.environment["RABBITMQ_STREAM_URL"], stream_name, len(expected))
    assert [decode(entry) for entry in found] == [entry for _, _, entry in expected]
    client.channel.queue_delete(stream_name)
    client.close()


def test_readers_by_amqp_0_9_1_get_what_is_written(rabbitmq: RabbitMQNode, client: Client, stream_name: str) -> None:
    bodies, ids = [b"", b"{}", b"x" * 300, b"\x00Su\xa0\x01a"], ["", "c", "é" * 127, None]
    url = rabbitmq.environment["RABBITMQ_STREAM_URL"]
    entries = [encode(body, correlation_id) for body, correlation_id in zip(bodies, ids, strict=True)]
    write(url, stream_name, entries)
    assert entries_of(url, stream_name, len(entries)) == entries
    found = client.read_stream(stream_name)
    assert [body for _, body in found] == bodies
    assert [properties.correlation_id for properties, _ in found] == ids
    assert {properties.content_type for properties, _ in found} == {"application/json"}
    client.channel.queue_delete(stream_name)
    client.close()
