"""Chunks as they come from a socket: whole, in parts where they are large, without entries where nobody wants them."""

import asyncio
import zlib
from collections.abc import Sequence
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rstream import schema
from rstream.encoding import encode_frame

from messages import stream_connection
from messages.amqp10 import Unreadable
from messages.chunks import Chunk, entries
from messages.stream_address import Address, stream_url_of
from messages.stream_connection import ChunkConnection, Subscription

PART_BYTES = 64
MAX_ENTRY_BYTES = 100
HEARTBEAT = encode_frame(schema.Heartbeat())


def plain(body: bytes) -> bytes:
    return pack(">I", len(body)) + body


def block(bodies: Sequence[bytes]) -> bytes:
    content = b"".join(map(plain, bodies))
    return pack(">BHII", 0x80, len(bodies), len(content), len(content)) + content


def deliver(data: bytes, count: int, records: int, *, number: int = 0, checksum: int | None = None) -> bytes:
    """Return the frame of a chunk at offset 100."""
    crc = zlib.crc32(data) if checksum is None else checksum
    head = pack(">HHBbBHIqQQIIII", 8, 1, number, 0x50, 0, count, records, 7, 1, 100, crc, len(data), 0, 0)
    return pack(">I", len(head) + len(data)) + head + data


class Received:
    """A connection that gets these frames, and the chunks that it delivers."""

    def __init__(self, *frames: bytes, only_heads: bool = False) -> None:
        self.chunks: list[Chunk] = []
        self.only_heads = only_heads
        self.frames = frames
        self.flowing = asyncio.Event()
        self.flowing.set()

    def connection(self) -> ChunkConnection:
        connection = ChunkConnection("", 0, None, lambda: None)
        connection.flowing = self.flowing
        connection.subscriptions[0] = Subscription(self.chunks.append, self.only_heads)
        connection._reader = asyncio.StreamReader()
        connection._reader.feed_data(b"".join(self.frames) + HEARTBEAT)
        return connection

    def read(self) -> schema.Frame:
        async def read() -> schema.Frame:
            return await self.connection().read_frame()

        return asyncio.run(read())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_connection, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr("messages.ports.MAX_MESSAGE_BYTES", MAX_ENTRY_BYTES)


bodies = st.binary(max_size=40)
ENTRIES = st.lists(st.one_of(bodies, st.lists(bodies, min_size=1, max_size=3), st.binary(min_size=101, max_size=300)))


@given(ENTRIES)
@settings(deadline=None)
def test_all_entries_come_in_order_in_parts_of_bounded_size_but_for_those_that_are_too_large(
    found: list[bytes | list[bytes]],
) -> None:
    written = [plain(entry) if isinstance(entry, bytes) else block(entry) for entry in found]
    expected: list[bytes | None] = []
    for entry, content in zip(found, written, strict=True):
        single = isinstance(entry, bytes)
        large = len(content) - (4 if single else 11) > MAX_ENTRY_BYTES and len(b"".join(written)) > PART_BYTES
        expected += [None if large else body for body in ([entry] if isinstance(entry, bytes) else entry)]
    data = b"".join(written)
    received = Received(deliver(data, len(found), len(expected)))
    assert isinstance(received.read(), schema.Heartbeat)
    offset, came = 100, list[bytes | None]()
    for chunk in received.chunks:
        assert (chunk.first, chunk.timestamp, chunk.size) == (offset, 7, len(data))
        assert len(chunk.data) <= max(PART_BYTES, 11 + MAX_ENTRY_BYTES)
        came += [None if isinstance(entry, Unreadable) else entry for entry in entries(chunk)]
        offset = chunk.end
    assert came == expected
    assert [chunk.ends for chunk in received.chunks] == [False] * (len(received.chunks) - 1) + [True]


def test_an_entry_that_is_too_large_says_so() -> None:
    received = Received(deliver(plain(b"x" * 1_000), 1, 1))
    received.read()
    (entry,) = (entry for chunk in received.chunks for entry in entries(chunk))
    assert str(entry) == "it has 1000 bytes; at most 100 are read"


@pytest.mark.parametrize("size", [10, 1_000])
def test_a_damaged_chunk_is_an_error(size: int) -> None:
    data = b"".join(plain(b"x" * 9) for _ in range(size // 10))
    with pytest.raises(ValueError, match="the chunk at offset 100 is damaged"):
        Received(deliver(data, size // 10, size // 10, checksum=1)).read()


def test_a_chunk_whose_entries_are_larger_than_it_says_is_an_error() -> None:
    data = pack(">I", 5_000) + b"x" * 100
    with pytest.raises(ValueError, match="holds more than it says"):
        Received(deliver(data, 1, 1)).read()


def test_of_chunks_only_the_heads_are_delivered_where_no_more_is_asked_for() -> None:
    received = Received(deliver(plain(b"x" * 500), 1, 1), only_heads=True)
    assert isinstance(received.read(), schema.Heartbeat)
    assert [(chunk.first, chunk.end, chunk.data) for chunk in received.chunks] == [(100, 101, b"")]


def test_what_nobody_has_subscribed_to_is_skipped() -> None:
    received = Received(deliver(plain(b"x" * 500), 1, 1, number=5), deliver(plain(b"y"), 1, 1))
    assert isinstance(received.read(), schema.Heartbeat)
    assert [chunk.data for chunk in received.chunks] == [plain(b"y")]


def test_a_paused_connection_delivers_no_more_parts_until_it_is_resumed() -> None:
    async def read() -> list[int]:
        received = Received(deliver(b"".join(plain(b"x" * 36) for _ in range(10)), 10, 10))
        received.flowing.clear()
        reading = asyncio.create_task(received.connection().read_frame())
        await asyncio.wait([reading], timeout=0.1)
        counts = [len(received.chunks)]
        received.flowing.set()
        await reading
        return [*counts, len(received.chunks)]

    assert asyncio.run(read()) == [1, 10]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rabbitmq-stream://a:b@host:1234/v", Address("host", 1234, "a", "b", "v", tls=False)),
        ("rabbitmq-stream://host", Address("host", 5552, "guest", "guest", "/", tls=False)),
        ("rabbitmq-stream+tls://u:p%40%2F@host/%2F", Address("host", 5551, "u", "p@/", "/", tls=True)),
        (stream_url_of("amqp://u:p@host:5672/%2F"), Address("host", 5552, "u", "p", "/", tls=False)),
        (stream_url_of("amqps://u:p@[::1]/v"), Address("::1", 5551, "u", "p", "v", tls=True)),
        (stream_url_of("amqp://host"), Address("host", 5552, "guest", "guest", "/", tls=False)),
    ],
)
def test_addresses_are_read_and_follow_from_those_of_amqp(url: str, expected: Address) -> None:
    assert Address.parse(url) == expected


@pytest.mark.parametrize("url", ["amqp://host", "host:5552", "rabbitmq-stream://"])
def test_what_is_no_address_of_the_stream_protocol_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="must be rabbitmq-stream://"):
        Address.parse(url)
