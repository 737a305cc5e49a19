"""Chunks of a stream as the broker delivers them, taken apart into entries."""

import zlib
from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import NamedTuple

from messages.amqp10 import Unreadable

MAX_BLOCK_BYTES = 32 * 1024 * 1024
"""How large a compressed block may become: a few hundred bytes can say that they are gigabytes."""
_COMPRESSIONS = ("none", "gzip", "Snappy", "LZ4", "Zstandard")


class Chunk(NamedTuple):
    """Entries that were written together, or the next part of many; of `records` the first has the offset `first`.

    timestamp: when the broker wrote it, in milliseconds since 1970. data: the entries, see messages.chunks.
    size: the bytes of all parts. ends: whether this is the last part. problem: why the entries were not read.
    """

    timestamp: int
    first: int
    entries: int
    records: int
    data: bytes
    size: int = 0
    ends: bool = True
    problem: str = ""

    @property
    def end(self) -> int:
        """Return the offset behind its last message."""
        return self.first + self.records


def entries(chunk: Chunk) -> Iterator[bytes | Unreadable]:
    """Yield the entries of a chunk, one for each offset from its first on; for those that can't be read, why."""
    # Offsets go on behind what is damaged, and end where the chunk says, whatever its entries say.
    missing = repeat(Unreadable(chunk.problem or "the chunk holds fewer entries than it says"))
    return islice(chain(_entries(chunk), missing), chunk.records)


def _entries(chunk: Chunk) -> Iterator[bytes | Unreadable]:
    """Yield the entries up to the first that is cut off."""
    data, position = chunk.data, 0
    for _ in range(chunk.entries):
        if data[position : position + 1] < b"\x80":
            start = position + 4
            end = start + int.from_bytes(data[position:start], "big")
            if end > len(data):
                return
            yield data[start:end]
        else:
            start = position + 11
            end = start + int.from_bytes(data[position + 7 : start], "big")
            if end > len(data):
                return
            kind = data[position] >> 4 & 7
            count = int.from_bytes(data[position + 1 : position + 3], "big")
            yield from _block(data[start:end], kind, count)
        position = end


def _block(block: bytes, kind: int, count: int) -> Iterator[bytes | Unreadable]:
    """Yield the `count` entries of a block, which its publisher may have compressed."""
    try:
        content = _unpacked(block, kind)
    except Unreadable as error:
        yield from repeat(error, count)
        return
    position = 0
    for _ in range(count):
        end = position + 4 + int.from_bytes(content[position : position + 4], "big")
        if end > len(content):
            yield Unreadable("its block is shorter than it says")
        else:
            yield content[position + 4 : end]
        position = end


def _unpacked(block: bytes, kind: int) -> bytes:
    if kind == 0:
        return block
    if kind != 1:
        name = _COMPRESSIONS[kind] if kind < len(_COMPRESSIONS) else f"number {kind}"
        raise Unreadable(f"it is compressed by {name}; gzip and no compression can be read")
    unzip = zlib.decompressobj(31)
    try:
        content = unzip.decompress(block, MAX_BLOCK_BYTES + 1)
    except zlib.error as error:
        raise Unreadable(f"its block is no gzip ({error})") from error
    if len(content) > MAX_BLOCK_BYTES:
        raise Unreadable(f"its block has more than {MAX_BLOCK_BYTES} bytes when unpacked")
    if not unzip.eof:
        raise Unreadable("its block is no gzip (it ends too early)")
    return content
