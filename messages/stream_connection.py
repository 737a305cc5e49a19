"""Chunks read from a connection of the stream protocol: large ones in parts, which rstream has no notion of.

It also saves three of four copies, and half of the time where a chunk holds a few messages: rstream decodes field by
field.
"""

import asyncio
import ssl
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import rstream.connection
from rstream import schema
from rstream.encoding import decode_frame

from messages.chunks import Chunk
from messages.ports import size_problem

# rstream reads 256 bytes at a time, five turns of the event loop for a review.
rstream.connection.CHUNK_SIZE = 65_536

ANSWER_BYTES = 1024 * 1024
"""A frame that is no chunk is never larger: what says so is garbage, and would be waited for until heartbeats miss."""
PART_BYTES = 1024 * 1024
"""A chunk that is larger is read in parts of about this size."""


class Subscription(NamedTuple):
    """Who gets chunks; only_heads: without their entries, however many they are."""

    deliver: Callable[[Chunk], None]
    only_heads: bool = False


_DELIVER = schema.Deliver.key.value.to_bytes(2, "big")
# Version and subscription; magic number, type, entries, records, timestamp, epoch, first offset, CRC, and lengths.
_HEAD = struct.Struct(">2xBbBHIqQQIIII")


class ChunkConnection(rstream.connection.Connection):
    """rstream's connection, whose chunks go another way than the answers and events: large ones in parts.

    A thousand messages of 100,000 bytes may be one chunk, which no credit bounds.
    """

    def __init__(self, host: str, port: int, ssl_context: ssl.SSLContext | None, heard: Callable[[], None]) -> None:
        """Connect to a broker; heard: called at each chunk."""
        super().__init__(host, port, ssl_context)
        self.subscriptions: dict[int, Subscription] = {}
        self.flowing = asyncio.Event()
        """While it is not set, no further part of a chunk is read."""
        self.flowing.set()
        self._heard = heard

    async def read_frame(self) -> schema.Frame:
        """Return the next frame that is no chunk; raises ValueError where one can't be read."""
        while True:
            length = int.from_bytes(await self._read(4), "big")
            key = await self._read(2)
            if key != _DELIVER:
                if length > ANSWER_BYTES:
                    raise ValueError(f"it says that it has {length} bytes")
                return decode_frame(bytes(key + await self._read(length - 2)))
            # A broker that sends these sends no heartbeats, and rstream does not see them.
            self._heard()
            await self._read_chunk(length - 2)

    async def _read_chunk(self, length: int) -> None:
        head = _HEAD.unpack(await self._read(_HEAD.size))
        number, _, kind, entries, records, timestamp, _, first, checksum, size, _, _ = head
        subscription = self.subscriptions.get(number)
        if subscription is None or kind != 0 or subscription.only_heads:
            if subscription and kind == 0:
                subscription.deliver(Chunk(timestamp, first, entries, records, b"", size))
            await self._skip(length - _HEAD.size)
            return
        whole = Chunk(timestamp, first, entries, records, b"", size)
        if size <= PART_BYTES:
            data = bytes(await self._read(size))
            crc = zlib.crc32(data)
            subscription.deliver(whole._replace(data=data))
        else:
            crc = await self._read_parts(whole, subscription)
        if crc != checksum:
            raise ValueError(f"the chunk at offset {first} is damaged")
        await self._skip(length - _HEAD.size - size)

    async def _read_parts(self, whole: Chunk, subscription: Subscription) -> int:
        """Deliver a chunk in parts of about PART_BYTES; returns the checksum of all."""
        crc, left = 0, whole.size
        part = whole._replace(entries=0, records=0, ends=False)
        data = bytearray()
        for number in range(1, whole.entries + 1):
            head = await self._read(4)
            records, size = 1, int.from_bytes(head, "big")
            if head[0] & 0x80:  # a block of entries; see messages.chunks
                head += await self._read(7)
                records, size = int.from_bytes(head[1:3], "big"), int.from_bytes(head[7:11], "big")
            crc = zlib.crc32(head, crc)
            if (left := left - len(head) - size) < 0:
                raise ValueError(f"the chunk at offset {whole.first} holds more than it says")
            problem = size_problem(size)
            if data and (problem or len(data) + size > PART_BYTES):
                await self._deliver(subscription, part._replace(data=bytes(data)))
                part, data = part._replace(first=part.end, entries=0, records=0), bytearray()
            part = part._replace(entries=part.entries + 1, records=part.records + records, ends=number == whole.entries)
            if problem:
                crc = await self._skip(size, crc)
                await self._deliver(subscription, part._replace(problem=problem))
                part = part._replace(first=part.end, entries=0, records=0)
            else:
                entry = await self._read(size)
                crc = zlib.crc32(entry, crc)
                data += head + entry
        if data:
            await self._deliver(subscription, part._replace(data=bytes(data)))
        return crc

    async def _deliver(self, subscription: Subscription, part: Chunk) -> None:
        subscription.deliver(part)
        await self.flowing.wait()

    async def _skip(self, size: int, crc: int = 0) -> int:
        """Read bytes that nobody wants; returns the checksum with them."""
        for first in range(0, size, PART_BYTES):
            crc = zlib.crc32(await self._read(min(PART_BYTES, size - first)), crc)
        return crc
