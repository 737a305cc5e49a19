"""How the suites of streams talk with a broker: what they read by, and what they write with."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from rstream import AMQPMessage, Producer, RawMessage
from rstream.client import Client as StreamClient
from rstream.compression import CompressionType

from deploy.runner import wait_until
from messages.amqp import blocking_connection
from messages.ports import BrokerUnavailable, Epoch, Message, Position, Progress, Source
from messages.stream_client import StreamConnection
from messages.stream_source import Group
from tests.conftest import RabbitMQNode

LONG_SECONDS = 10.0
RESTART_SECONDS = 60.0


class MemoryProgress(Progress):
    """How far a stream has been read, in memory; readers of one group share one."""

    def __init__(self, stream: str, position: Position | None = None) -> None:
        self.stream = stream
        self.position = position
        self.epochs: list[Epoch] = []
        self.gaps: list[tuple[int, int]] = []
        self.taken = 0

    def take(self) -> Position | None:
        self.taken += 1
        return self.position

    def begin(self, first_offset: int, began_at: int) -> Epoch:
        anew = self.position is not None or first_offset > 0
        self.epochs.append(Epoch(began_at, f"{self.stream}:{began_at}" if anew else self.stream))
        return self.epochs[-1]

    def missed(self, first: int, after: int) -> None:
        self.gaps.append((first, after))

    def done(self, messages: Sequence[Message]) -> None:
        """Remember that all up to the last of these is done, where they are of a stream."""
        self.position = messages[-1].stands_at


def read(source: Source, count: int, timeout_seconds: float = LONG_SECONDS) -> list[Message]:
    """Read so many messages."""
    found: list[Message] = []
    deadline = time.monotonic() + timeout_seconds
    while len(found) < count:
        found += source.read(count - len(found), 0.5)
        assert time.monotonic() < deadline, f"{len(found)} of {count} came"
    return found


def read_on(source: Source, progress: MemoryProgress, count: int) -> list[Message]:
    """Read so many messages, whatever becomes of the broker meanwhile."""
    found: list[Message] = []
    deadline = time.monotonic() + RESTART_SECONDS
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} came"
        try:
            messages = source.read(count - len(found), 0.5)
        except BrokerUnavailable:
            repeat(lambda: source.open(progress))
            continue
        found += messages
        if messages:
            progress.done(messages)
    return found


def repeat(act: Callable[[], object]) -> None:
    """Do what a broker may refuse that has just been started, until it does not."""

    def worked() -> bool:
        try:
            act()
        except BrokerUnavailable:
            return False
        return True

    assert wait_until(worked, RESTART_SECONDS)


def bodies_of(count: int, first: int = 0) -> list[bytes]:
    return [b"text %d" % number for number in range(first, first + count)]


def group_of(broker: RabbitMQNode, super_stream: str | None = None) -> Group:
    return Group("bridge", broker.amqp_url, super_stream)


def chooses_readers(broker: RabbitMQNode) -> bool:
    """Return whether the broker has single active consumers."""
    connection = StreamConnection(broker.stream_url, "", "test", lambda _: None)
    connection.close()
    return connection.version >= (3, 11)


def declare(broker: RabbitMQNode, stream: str, arguments: dict[str, Any] | None = None) -> None:
    with blocking_connection(broker.amqp_url) as connection:
        connection.channel().queue_declare(
            stream, durable=True, arguments={"x-queue-type": "stream", **(arguments or {})}
        )


def delete(broker: RabbitMQNode, *queues: str) -> None:
    with blocking_connection(broker.amqp_url) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_delete(queue)


def _login(broker: RabbitMQNode) -> tuple[str, int, str, str]:
    address = urlsplit(broker.stream_url)
    return address.hostname or "", address.port or 0, address.username or "", address.password or ""


def write(broker: RabbitMQNode, stream: str, messages: Sequence[AMQPMessage | RawMessage | bytes]) -> None:
    """Write messages as rstream does; returns when the broker has confirmed all."""

    async def send() -> None:
        host, port, user, password = _login(broker)
        async with Producer(host, port, username=user, password=password) as producer:
            for message in messages:
                await producer.send_wait(stream, RawMessage(message) if isinstance(message, bytes) else message)

    asyncio.run(send())


def write_batch(
    broker: RabbitMQNode, stream: str, messages: Sequence[AMQPMessage | RawMessage], compression: CompressionType
) -> None:
    """Write messages as one sub-entry batch; returns when the broker has confirmed it."""

    async def send() -> None:
        host, port, user, password = _login(broker)
        async with Producer(host, port, username=user, password=password) as producer:
            confirmed = asyncio.Event()
            await producer.send_sub_entry(
                stream, list(messages), compression, on_publish_confirm=lambda _: confirmed.set()
            )
            await asyncio.wait_for(confirmed.wait(), LONG_SECONDS)

    asyncio.run(send())


def track_offsets(broker: RabbitMQNode, stream: str, count: int) -> None:
    """Have the broker remember offsets for other readers, which it does in the stream."""

    async def store() -> None:
        host, port, user, password = _login(broker)
        client = StreamClient(host, port, frame_max=1_048_576, heartbeat=60)
        await client.start()
        await client.authenticate("/", user, password)
        name = f"other-{secrets.token_hex(4)}"
        for number in range(count):
            await client.store_offset(stream, name, number)
            # The answer comes behind what was stored, so each is written by itself.
            while await client.query_offset(stream, name) != number:
                await asyncio.sleep(0.01)
        await client.close()

    asyncio.run(store())
