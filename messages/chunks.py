"""Chunks of a stream as the broker delivers them, taken apart into entries."""

import zlib
from collections.abc import Iterator

from messages.amqp10 import Unreadable
from messages.stream_client import Chunk

MAX_BLOCK_BYTES = 32 * 1024 * 1024
"""How large a compressed block may become: a few hundred bytes can say that they are gigabytes."""
_COMPRESSIONS = ("none", "gzip", "Snappy", "LZ4", "Zstandard")


def entries(chunk: Chunk) -> Iterator[bytes | Unreadable]:
    """Yield the entries of a chunk, one for each offset from its first on; for those that can't be read, why."""
    data, left, position = chunk.data, chunk.records, 0
    for _ in range(chunk.entries):
        if data[position : position + 1] < b"\x80":
            end = position + 4 + int.from_bytes(data[position : position + 4], "big")
            yield data[position + 4 : end]
            left -= 1
        else:
            kind = data[position] >> 4 & 7
            count = int.from_bytes(data[position + 1 : position + 3], "big")
            end = position + 11 + int.from_bytes(data[position + 7 : position + 11], "big")
            yield from _block(data[position + 11 : end], kind, count)
            left -= count
        position = end
    # Offsets go on behind what is damaged.
    yield from [Unreadable("the chunk holds fewer entries than it says")] * left


def _block(block: bytes, kind: int, count: int) -> Iterator[bytes | Unreadable]:
    """Yield the `count` entries of a block, which its publisher may have compressed."""
    try:
        content = _unpacked(block, kind)
    except Unreadable as error:
        yield from [error] * count
        return
    position = 0
    for _ in range(count):
        end = position + 4 + int.from_bytes(content[position : position + 4], "big")
        if end > len(content) or position + 4 > len(content):
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
        content = unzip.decompress(block, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise Unreadable(f"its block is no gzip ({error})") from error
    if unzip.unconsumed_tail:
        raise Unreadable(f"its block has more than {MAX_BLOCK_BYTES} bytes when unpacked")
    return content
