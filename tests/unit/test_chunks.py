"""Chunks are taken apart into as many entries as they say, whatever they hold, and soon."""

import gzip
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rstream.compression import CompressionHelper, CompressionType

from messages.amqp10 import Unreadable
from messages.chunks import MAX_BLOCK_BYTES, Chunk, entries

BODIES = st.binary(max_size=40)
PLAIN = st.lists(BODIES, min_size=1, max_size=1).map(lambda bodies: (sized(bodies[0]), bodies))
PACKED = st.tuples(st.lists(BODIES, max_size=8), st.sampled_from([CompressionType.No, CompressionType.Gzip])).map(
    lambda drawn: (packed(*drawn), drawn[0])
)
PARTS = st.lists(PLAIN | PACKED, max_size=8)
FEWER = "the chunk holds fewer entries than it says"


def sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def block(kind: int, count: int, content: bytes, unpacked_bytes: int = 0, size: int | None = None) -> bytes:
    """A sub-batch as the protocol has it; `size`, of its content, may be a lie."""
    size = len(content) if size is None else size
    head = bytes([0x80 | kind << 4]) + count.to_bytes(2, "big") + unpacked_bytes.to_bytes(4, "big")
    return head + size.to_bytes(4, "big") + content


def packed(bodies: list[bytes], compression: CompressionType) -> bytes:
    """A sub-batch as rstream publishes it."""
    codec = CompressionHelper.compress(bodies, compression)
    return block(codec.compression_type(), codec.messages_count(), codec.data(), codec.uncompressed_size())


def chunk(*parts: bytes, records: int, count: int | None = None) -> Chunk:
    return Chunk(1, 100, len(parts) if count is None else count, records, b"".join(parts))


def shown(found: Chunk) -> list[bytes | str]:
    """The entries, with the reasons of those that can't be read."""
    return [str(entry) if isinstance(entry, Unreadable) else entry for entry in entries(found)]


@given(PARTS)
def test_plain_entries_and_what_rstream_packs_come_in_order(parts: list[tuple[bytes, list[bytes]]]) -> None:
    bodies = [body for _, part in parts for body in part]
    assert shown(chunk(*(data for data, _ in parts), records=len(bodies))) == bodies


@given(PARTS, st.integers(0, 30), st.integers(0, 12))
def test_as_many_come_as_the_chunk_says_whatever_its_entries_say(
    parts: list[tuple[bytes, list[bytes]]], records: int, count: int
) -> None:
    bodies = [body for _, part in parts[:count] for body in part]
    found = shown(chunk(*(data for data, _ in parts), records=records, count=count))
    assert found == [*bodies, *[FEWER] * records][:records]


@given(PARTS, st.data())
def test_what_is_cut_off_is_said_to_be_missing_and_what_comes_before_is_read(
    parts: list[tuple[bytes, list[bytes]]], data: st.DataObject
) -> None:
    records = sum(len(part) for _, part in parts)
    whole = chunk(*(content for content, _ in parts), records=records)
    size = data.draw(st.integers(0, len(whole.data)))
    before: list[bytes] = []
    left = size
    for content, part in parts:
        if (left := left - len(content)) < 0:
            break
        before += part
    found = shown(whole._replace(data=whole.data[:size]))
    assert found == [*before, *[FEWER] * (records - len(before))]


@given(st.integers(0, 8), st.integers(0, 40), st.binary(max_size=300))
def test_any_bytes_give_as_many_entries_as_the_chunk_says(count: int, records: int, data: bytes) -> None:
    assert len(list(entries(Chunk(1, 0, count, records, data)))) == records


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 65_535), st.binary(max_size=60), st.integers(0, 2**32 - 1)),
        max_size=4,
    ),
    st.integers(0, 200),
)
def test_sub_batches_that_lie_of_their_kind_counts_and_sizes_give_as_many_entries_as_the_chunk_says(
    blocks: list[tuple[int, int, bytes, int]], records: int
) -> None:
    found = chunk(*(block(*each) for each in blocks), sized(b"last"), records=records)
    assert len(shown(found)) == records


@given(st.lists(BODIES, min_size=1, max_size=5), st.data())
def test_a_gzip_that_is_damaged_or_cut_off_gives_reasons_and_its_neighbours_are_read(
    bodies: list[bytes], data: st.DataObject
) -> None:
    content = gzip.compress(b"".join(map(sized, bodies)))
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    found = shown(chunk(sized(b"a"), block(1, len(bodies), cut), sized(b"b"), records=len(bodies) + 2))
    assert found == [b"a", *["its block is no gzip (it ends too early)"] * len(bodies), b"b"]
    at = data.draw(st.integers(0, len(content) - 1))
    changed = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
    found = shown(chunk(sized(b"a"), block(1, len(bodies), changed), sized(b"b"), records=len(bodies) + 2))
    assert (found[0], len(found), found[-1]) == (b"a", len(bodies) + 2, b"b")


@pytest.mark.parametrize(
    ("kind", "name"), [(2, "Snappy"), (3, "LZ4"), (4, "Zstandard"), (5, "number 5"), (6, "number 6"), (7, "number 7")]
)
def test_another_compression_is_named_and_its_neighbours_are_read(kind: int, name: str) -> None:
    reason = f"it is compressed by {name}; gzip and no compression can be read"
    found = chunk(sized(b"a"), block(kind, 2, b"whatever"), sized(b"b"), records=4)
    assert shown(found) == [b"a", reason, reason, b"b"]


@pytest.mark.parametrize("compression", [CompressionType.No, CompressionType.Gzip])
def test_a_sub_batch_may_say_more_or_fewer_entries_than_it_has(compression: CompressionType) -> None:
    part = packed([b"a", b"b"], compression)
    one, three = (part[:1] + count.to_bytes(2, "big") + part[3:] for count in (1, 3))
    shorter = "its block is shorter than it says"
    assert shown(chunk(one, sized(b"c"), records=2)) == [b"a", b"c"]
    assert shown(chunk(three, sized(b"c"), records=4)) == [b"a", b"b", shorter, b"c"]
    # The chunk's word goes, whichever way a sub-batch lies.
    assert shown(chunk(three, sized(b"c"), records=2)) == [b"a", b"b"]


def test_an_entry_of_a_sub_batch_that_says_it_is_larger_ends_it() -> None:
    content = sized(b"a") + (100).to_bytes(4, "big") + b"b" + sized(b"c")
    shorter = "its block is shorter than it says"
    assert shown(chunk(block(0, 3, content), sized(b"d"), records=4)) == [b"a", shorter, shorter, b"d"]


def test_a_block_may_be_as_large_as_is_allowed_and_no_larger() -> None:
    def unpacked(size: int) -> list[bytes | str]:
        return shown(chunk(block(1, 1, gzip.compress(sized(bytes(size - 4)), 1)), sized(b"b"), records=2))

    assert unpacked(MAX_BLOCK_BYTES) == [bytes(MAX_BLOCK_BYTES - 4), b"b"]
    too_large = f"its block has more than {MAX_BLOCK_BYTES} bytes when unpacked"
    assert unpacked(MAX_BLOCK_BYTES + 1) == [too_large, b"b"]


def test_a_bomb_is_unpacked_no_further_than_is_allowed() -> None:
    bomb = block(1, 1000, gzip.compress(bytes(8 * MAX_BLOCK_BYTES)))
    tracemalloc.start()
    try:
        found = shown(chunk(bomb, sized(b"b"), records=1001))
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [*[f"its block has more than {MAX_BLOCK_BYTES} bytes when unpacked"] * 1000, b"b"]
    assert most_bytes < 3 * MAX_BLOCK_BYTES


@pytest.mark.parametrize("parts", [(), (block(0, 65_535, b""),), (block(4, 65_535, b""),)])
def test_billions_of_entries_that_are_not_there_take_neither_memory_nor_time(parts: tuple[bytes, ...]) -> None:
    found = chunk(*parts, records=2**32 - 1)
    tracemalloc.start()
    try:
        first = list(islice(entries(found), 70_000))
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(isinstance(entry, Unreadable) for entry in first)
    assert most_bytes < 50_000_000
