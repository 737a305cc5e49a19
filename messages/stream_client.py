"""Connections by RabbitMQ's stream protocol, with rstream: the one place that builds them.

rstream's consumer and producer are passed by: they skip the rest of a chunk at an error, give credit by chunks of any
size, and tell nobody of a connection that is silent. Its client speaks the protocol, and that is what is used; only
chunks are read by messages.stream_connection.
"""

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import rstream.connection
from rstream import exceptions, schema
from rstream.client import Client
from rstream.constants import OffsetType

from messages.ports import BrokerUnavailable, StreamMissing
from messages.stream_address import Address
from messages.stream_connection import ChunkConnection, Subscription
from process.tls import explained

T = TypeVar("T")
F = TypeVar("F", bound=schema.Frame)

TIMEOUT_SECONDS = 15
HEARTBEAT_SECONDS = 30
SHARED_SINCE = (3, 11)
"""The first version of RabbitMQ with super streams of which the broker chooses the active reader."""
FRAME_MAX_BYTES = 1024 * 1024
ERRORS = (OSError, exceptions.ServerError, exceptions.ClientError, rstream.connection.ConnectionClosed)

NAMED_BY = "RABBITMQ_STREAM_URL, or the broker's stream.advertised_host"
"""What says where a node is: each but the first is found by what the broker says of it."""

FIRST = schema.OffsetSpec(OffsetType.FIRST)
LAST = schema.OffsetSpec(OffsetType.LAST)
NEXT = schema.OffsetSpec(OffsetType.NEXT)


def at_offset(offset: int) -> schema.OffsetSpec:
    """Return the specification that has the chunk with `offset` come first."""
    return schema.OffsetSpecOffset(OffsetType.OFFSET, offset)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of all connections, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="streams", daemon=True).start()
    return loop


def _wait(coroutine: Coroutine[Any, Any, T], what: str, timeout_seconds: float = TIMEOUT_SECONDS) -> T:
    """Return what a coroutine returns; raises BrokerUnavailable for an error of the broker or of the network."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result(timeout_seconds)
    except TimeoutError as error:
        future.cancel()
        raise BrokerUnavailable(f"RabbitMQ: {what}: no answer in {timeout_seconds:g} s") from error
    except exceptions.StreamDoesNotExist as error:
        raise StreamMissing(f"RabbitMQ: {what}: there is no such stream") from error
    except ERRORS as error:
        words = explained(f"{type(error).__name__}: {error}", authorities="SSL_CERT_FILE", address=NAMED_BY)
        raise BrokerUnavailable(f"RabbitMQ: {what}: {words}") from error


class _Client(Client):
    """rstream's client, which tells when its connection is gone, whatever the reason."""

    def __init__(self, address: Address, host: str, port: int, name: str, gone: Callable[[str], None]) -> None:
        super().__init__(
            host,
            port,
            ssl_context=ssl.create_default_context() if address.tls else None,
            frame_max=FRAME_MAX_BYTES,
            heartbeat=HEARTBEAT_SECONDS,
            connection_name=name,
            connection_closed_handler=lambda _: None,  # without one, rstream logs
        )
        self._gone = gone
        self.chunks = ChunkConnection(host, port, self._ssl_context, self._heard)

    async def start(self) -> None:
        """Connect, as rstream does, by a connection of our own."""
        self._conn = self.chunks
        await self.chunks.open()
        self.start_task("listener", self._listener())
        self.add_handler(schema.Heartbeat, self._on_heartbeat)

    def _heard(self) -> None:
        """Note that the broker is there."""
        self._last_heartbeat = time.monotonic()

    async def sync_request(self, frame: schema.Frame, resp_schema: type[F], raise_exception: bool = True) -> F:
        """Ask the broker, unless the connection is gone: rstream would wait for an answer to what it does not send."""
        if not self.is_connection_alive():
            raise OSError("the connection is closed")
        return await super().sync_request(frame, resp_schema, raise_exception)

    async def _listener(self) -> None:
        """Take frames until the connection ends, or until one that can't be read ends it."""
        reason = "the broker closed the connection"
        try:
            await super()._listener()
        except ValueError as error:
            reason = f"a frame can't be read: {error}"
        finally:
            self._is_not_closed = False
            for waiter in list(self._waiters.values()):
                if not waiter.done():
                    waiter.set_exception(OSError(reason))
            self._gone(reason)

    async def _heartbeat_sender(self) -> None:
        """Send heartbeats, and count a broker that is silent for two of them as gone."""
        while self.is_connection_alive() and self._heartbeat:
            await self.send_frame(schema.Heartbeat())
            await asyncio.sleep(self._heartbeat)
            if not self.chunks.flowing.is_set():
                self._last_heartbeat = time.monotonic()  # nobody listens
            if time.monotonic() - self._last_heartbeat > 2 * self._heartbeat:
                self._gone(f"nothing was heard from the broker for {2 * self._heartbeat} s")

    async def close(self) -> None:
        """Close it; rstream leaves the socket of a broken connection open."""
        connection = self._conn
        await super().close()
        if connection is not None:
            with suppress(OSError):
                await connection.close()


async def _start(address: Address, host: str, port: int, name: str, gone: Callable[[str], None]) -> _Client:
    client = _Client(address, host, port, name, gone)
    try:
        await client.start()
        await client.authenticate(address.virtual_host, address.user, address.password)
    except BaseException:
        client._gone = lambda _: None
        await client.close()
        raise
    return client


class StreamConnection:
    """A connection to a node that holds a stream. Any thread may use it; all its I/O is in one thread."""

    def __init__(self, url: str, stream: str, name: str, gone: Callable[[str], None], *, writes: bool = False) -> None:
        """Connect to the leader of `stream` if it is to be written, else to any replica.

        stream: empty to stay at the node of the URL. name: what the broker's operators see.
        gone: told in the I/O thread why the connection is of no use any more. Raises BrokerUnavailable, StreamMissing.
        """
        self.stream = stream
        self._gone = gone
        self.closed = False
        self._client: _Client = _wait(self._connect(Address.parse(url), name, writes), f"{name}: connecting")
        version = str((self._client.server_properties or {}).get("version", "0"))
        self.version = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        """The broker's version, as in (3, 10)."""

    async def _connect(self, address: Address, name: str, writes: bool) -> _Client:
        client = await _start(address, address.host, address.port, name, self._on_gone)
        if not self.stream:
            return client
        try:
            leader, replicas = await client.query_leader_and_replicas(self.stream)
        except exceptions.StreamDoesNotExist:
            self.closed = True
            await client.close()
            raise
        except (*ERRORS, KeyError) as error:
            self.closed = True
            await client.close()
            raise OSError(f"{self.stream}: {type(error).__name__} {error}") from error
        # A reader had better not burden the leader.
        node = leader if writes or not replicas else random.choice(replicas)  # noqa: S311 - spreads load
        if (node.host, node.port) == (address.host, address.port):
            return client
        client._gone = lambda _: None
        await client.close()
        return await _start(address, node.host, node.port, name, self._on_gone)

    def _on_gone(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._gone(reason)

    def on(self, frame: type[schema.Frame], handler: Callable[[Any], None]) -> None:
        """Have `handler` called in the I/O thread for each frame of a kind that the broker sends by itself."""
        self._client.add_handler(frame, handler)

    def subscribe(
        self,
        number: int,
        where: schema.OffsetSpec,
        subscription: Subscription,
        credit: int,
        properties: dict[str, str] | None = None,
    ) -> None:
        """Have chunks delivered, `credit` of them and as many more as are asked for; raises BrokerUnavailable."""
        self._client.chunks.subscriptions[number] = subscription
        subscribed = self._client.subscribe(self.stream, number, where, credit, properties)
        _wait(subscribed, f"reading {self.stream}")

    def unsubscribe(self, number: int) -> None:
        """End a subscription; raises BrokerUnavailable."""
        _wait(self._client.unsubscribe(number), f"reading {self.stream}")
        del self._client.chunks.subscriptions[number]

    def credit(self, number: int, chunks: int) -> None:
        """Have so many more chunks delivered."""
        self._soon(lambda: self._client.credit(number, chunks))

    def pause(self) -> None:
        """Take nothing from the broker for now, but for what is being read; for the I/O thread."""
        self._client.chunks.flowing.clear()

    def resume(self) -> None:
        """Go on."""
        _loop().call_soon_threadsafe(self._client.chunks.flowing.set)

    def answer_update(self, correlation_id: int, where: schema.OffsetSpec) -> None:
        """Answer a consumer update: whose turn it is begins there."""
        answer = schema.OffsetSpecification(int(where.offset_type), int(getattr(where, "value", 0)))
        self._soon(lambda: self._client.consumer_update(correlation_id, answer))

    def declare_publisher(self, number: int, name: str) -> None:
        """Let messages be published under a number; the broker drops repeats under a name that is not empty.

        Raises BrokerUnavailable.
        """
        _wait(self._client.declare_publisher(self.stream, name, number), f"publishing to {self.stream}")

    def publish(self, number: int, messages: list[schema.Message]) -> None:
        """Send messages under a publisher's number."""
        frame = schema.Publish(publisher_id=number, messages=messages)
        self._soon(lambda: self._client.send_publish_frame(frame))

    def partitions(self, name: str) -> list[str]:
        """Return the streams that `name` is made of; raises BrokerUnavailable."""

        async def partitions() -> list[str]:
            if await self._client.stream_exists(name):
                return [name]
            if found := await self._super_stream(name):
                return found
            raise OSError("there is no stream of that name")

        return _wait(partitions(), name)

    def is_super_stream(self, name: str) -> bool:
        """Return whether there is a super stream of that name; raises BrokerUnavailable."""
        return bool(_wait(self._super_stream(name), name))

    async def _super_stream(self, name: str) -> list[str]:
        # RabbitMQ 3.10 knows none, and has no answer that can be read.
        return await self._client.partitions(name) if self.version >= SHARED_SINCE else []

    def close(self) -> None:
        """Close the connection; `gone` is not told."""
        self.closed = True
        with suppress(BrokerUnavailable):
            _wait(self._client.close(), "closing")

    def _soon(self, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send in the I/O thread, without waiting; what fails has the connection gone."""

        async def sent() -> None:
            with suppress(OSError):
                await send()

        if not self.closed:
            asyncio.run_coroutine_threadsafe(sent(), _loop())


@contextmanager
def asking(url: str) -> Iterator[StreamConnection]:
    """Connect to the broker of a stream URL for the time of the block, for questions; raises BrokerUnavailable."""
    connection = StreamConnection(url, "", "sentiment-questions", lambda _: None)
    try:
        yield connection
    finally:
        connection.close()


def partitions(url: str, name: str) -> list[str]:
    """Return the streams that `name` is made of: the partitions of a super stream, or itself.

    Raises BrokerUnavailable.
    """
    with asking(url) as broker:
        return broker.partitions(name)
