"""Where a reader of a stream begins, whatever became of the stream since; and how far it reads ahead."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from deploy.runner import wait_until
from messages.ports import BrokerUnavailable, Message, Source
from messages.stream_source import StreamSource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import (
    LONG_SECONDS,
    MemoryProgress,
    bodies_of,
    declare,
    delete,
    group_of,
    read,
    track_offsets,
    write,
)

EARLIER = bodies_of(10)
LARGE = b"x" * 50_000
# RabbitMQ drops whole segments, and never the one that is written.
SMALL = {"x-max-length-bytes": 500_000, "x-stream-max-segment-size-bytes": 200_000}


@pytest.fixture(params=["alone", "group"])
def reader(request: pytest.FixtureRequest, broker: RabbitMQNode, stream: str) -> Iterator[Source]:
    found = StreamSource(broker.stream_url, stream, group=group_of(broker) if request.param == "group" else None)
    yield found
    found.close()


@pytest.fixture
def progress(stream: str) -> MemoryProgress:
    return MemoryProgress(stream)


def make_anew(broker: RabbitMQNode, stream: str, bodies: Sequence[bytes] = ()) -> None:
    delete(broker, stream)
    declare(broker, stream)
    write(broker, stream, bodies)


def read_all_earlier(broker: RabbitMQNode, reader: Source, progress: MemoryProgress) -> list[Message]:
    write(broker, progress.stream, EARLIER)
    reader.open(progress)
    found = read(reader, len(EARLIER))
    progress.done(found)
    return found


def assert_read_anew(earlier: Sequence[Message], found: Sequence[Message], progress: MemoryProgress) -> None:
    """What was found is of a new life of the stream, from its first message on."""
    assert [message.offset for message in found] == list(range(len(found)))
    first, second = progress.epochs
    assert second.began_at > first.began_at
    assert {message.place.epoch for message in found if message.place} == {second}
    assert [message.key for message in found] == [f"{second.key_prefix}:{offset}" for offset in range(len(found))]
    assert not {message.key for message in earlier} & {message.key for message in found}
    assert progress.gaps == []


@pytest.mark.parametrize("count", [3, 10, 30], ids=["shorter", "as long", "longer"])
def test_a_stream_made_anew_while_nobody_read_is_read_from_its_first_message(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress, count: int
) -> None:
    earlier = read_all_earlier(broker, reader, progress)
    reader.close()
    make_anew(broker, progress.stream, bodies_of(count, 100))
    reader.open(progress)
    found = read(reader, count)
    assert [message.body for message in found] == bodies_of(count, 100)
    assert_read_anew(earlier, found, progress)


@pytest.mark.parametrize("count", [3, 30], ids=["shorter", "longer"])
def test_a_stream_made_anew_that_is_empty_at_first_is_read_from_its_first_message(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress, count: int
) -> None:
    earlier = read_all_earlier(broker, reader, progress)
    make_anew(broker, progress.stream)
    reader.open(progress)
    assert reader.read(10, 0.1) == []
    write(broker, progress.stream, bodies_of(count, 100))
    assert_read_anew(earlier, read(reader, count), progress)


@pytest.mark.parametrize("count", [3, 30], ids=["shorter", "longer"])
def test_a_stream_made_anew_while_it_is_read_is_read_from_its_first_message(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress, count: int
) -> None:
    earlier = read_all_earlier(broker, reader, progress)
    make_anew(broker, progress.stream, bodies_of(count, 100))
    with pytest.raises(BrokerUnavailable):
        read(reader, 1)
    reader.open(progress)
    assert_read_anew(earlier, read(reader, count), progress)


def test_a_stream_made_anew_twice_has_three_lives(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    read_all_earlier(broker, reader, progress)
    for _ in range(2):
        make_anew(broker, progress.stream, EARLIER)
        reader.open(progress)
        progress.done(read(reader, len(EARLIER)))
    began = [epoch.began_at for epoch in progress.epochs]
    assert len(set(began)) == 3
    assert began == sorted(began)


def test_the_same_stream_goes_on_in_the_same_epoch_after_each_opening(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    write(broker, progress.stream, EARLIER)
    found: list[Message] = []
    for _ in EARLIER:
        reader.open(progress)
        found += read(reader, 1)
        progress.done(found)
    assert [message.body for message in found] == EARLIER
    assert {message.place.epoch for message in found if message.place} == set(progress.epochs)
    assert len(progress.epochs) == 1
    assert progress.gaps == []


def test_nothing_comes_again_where_nothing_is_new(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    read_all_earlier(broker, reader, progress)
    reader.open(progress)
    assert reader.read(10, 0.3) == []
    write(broker, progress.stream, [b"new"])
    (message,) = read(reader, 1)
    assert (message.offset, message.body) == (10, b"new")
    assert len(progress.epochs) == 1


def test_a_position_of_an_earlier_release_is_read_on_behind(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    found = read_all_earlier(broker, reader, progress)
    position = found[3].stands_at
    assert position
    progress.position = position._replace(chunk_time=None)
    reader.open(progress)
    again = read(reader, 6)
    assert [message.key for message in again] == [message.key for message in found[4:]]


def test_a_position_of_an_earlier_release_behind_the_end_is_of_another_stream(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    earlier = read_all_earlier(broker, reader, progress)
    assert progress.position
    progress.position = progress.position._replace(chunk_time=None)
    make_anew(broker, progress.stream, bodies_of(3))
    reader.open(progress)
    assert_read_anew(earlier, read(reader, 3), progress)


def first_offset(broker: RabbitMQNode, stream: str) -> int:
    source = StreamSource(broker.stream_url, stream)
    source.open()
    (message,) = read(source, 1)
    source.close()
    return message.position


def test_what_the_broker_dropped_while_nobody_read_is_told_once_and_reading_goes_on(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    delete(broker, progress.stream)
    declare(broker, progress.stream, SMALL)
    found = read_all_earlier(broker, reader, progress)
    reader.close()
    progress.done(found[:5])
    write(broker, progress.stream, [LARGE] * 30)
    assert wait_until(lambda: first_offset(broker, progress.stream) > 20, LONG_SECONDS)
    reader.open(progress)
    kept = read(reader, 1)
    kept += read(reader, 40 - kept[0].position - 1)
    assert [message.offset for message in kept] == list(range(kept[0].position, 40))
    assert progress.gaps == [(5, kept[0].position)]
    assert {message.place.epoch for message in kept if message.place} == set(progress.epochs)
    assert len(progress.epochs) == 1


def slow_source_of_dropped(broker: RabbitMQNode, stream: str, progress: MemoryProgress) -> StreamSource:
    """Open a source that reads little ahead, on 40 messages of which the broker has dropped more than 20 since."""
    delete(broker, stream)
    declare(broker, stream, SMALL)
    source = StreamSource(broker.stream_url, stream, buffer_bytes=1)
    source.open(progress)
    write(broker, stream, [LARGE] * 40)
    assert wait_until(lambda: first_offset(broker, stream) > 20, LONG_SECONDS)
    return source


def missed(progress: MemoryProgress) -> list[int]:
    return [offset for first, after in progress.gaps for offset in range(first, after)]


def test_what_the_broker_drops_while_a_reader_is_slow_is_told(broker: RabbitMQNode, stream: str) -> None:
    progress = MemoryProgress(stream)
    source = slow_source_of_dropped(broker, stream, progress)
    offsets: list[int] = []
    while not offsets or offsets[-1] < 39:
        offsets += [message.position for message in read(source, 1)]
    assert missed(progress)
    assert sorted([*offsets, *missed(progress)]) == list(range(40))
    source.close()


def test_what_is_dropped_behind_a_chunk_that_has_arrived_is_missed_once(broker: RabbitMQNode, stream: str) -> None:
    progress = MemoryProgress(stream)
    source = slow_source_of_dropped(broker, stream, progress)
    offsets = [message.position for message in read(source, 1)]
    while not source._chunks or source._chunks[0].first == offsets[-1] + 1:
        offsets += [message.position for message in read(source, 1)]
        assert wait_until(lambda: bool(source._chunks), LONG_SECONDS)
    # The first one behind the gap has arrived, and now the broker drops it too.
    arrived = source._chunks[0].first
    write(broker, stream, [LARGE] * 40)
    assert wait_until(lambda: first_offset(broker, stream) > arrived + 1, LONG_SECONDS)
    while offsets[-1] < 79:
        offsets += [message.position for message in read(source, 1)]
    assert sorted([*offsets, *missed(progress)]) == list(range(80))
    source.close()


def test_offsets_that_the_broker_uses_for_itself_are_not_missed(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    found = read_all_earlier(broker, reader, progress)
    track_offsets(broker, progress.stream, 20)
    write(broker, progress.stream, [b"read at once"])
    found += read(reader, 1)
    assert found[-1].position > 10, "nothing was tracked in the stream"
    progress.done(found)
    track_offsets(broker, progress.stream, 20)
    reader.open(progress)
    track_offsets(broker, progress.stream, 20)
    write(broker, progress.stream, [b"read later"])
    (message,) = read(reader, 1)
    assert message.body == b"read later"
    assert progress.gaps == []
    assert len(progress.epochs) == 1


def test_a_reader_that_does_not_read_has_no_more_sent_than_it_has_room_for(broker: RabbitMQNode, stream: str) -> None:
    body, room = b"x" * 10_000, 8
    bodies = [b"%d" % number + body for number in range(100)]
    # Each is confirmed before the next, so each is a chunk.
    write(broker, stream, bodies)
    source = StreamSource(broker.stream_url, stream, buffer_bytes=room * (len(body) + 100))
    source.open(MemoryProgress(stream))
    found = read(source, 1)
    assert wait_until(lambda: len(source._chunks) >= room // 2, LONG_SECONDS)
    # What the broker answers comes behind all that it had been asked for.
    assert source.end() == len(bodies)
    assert len(source._chunks) <= room
    found += read(source, len(bodies) - 1)
    assert [message.body for message in found] == bodies
    source.close()


def test_a_chunk_larger_than_the_room_is_read(broker: RabbitMQNode, stream: str) -> None:
    write(broker, stream, [LARGE] * 5)
    source = StreamSource(broker.stream_url, stream, buffer_bytes=1)
    source.open(MemoryProgress(stream))
    assert [message.body for message in read(source, 5)] == [LARGE] * 5
    source.close()


def test_the_end_of_an_empty_stream_is_0_and_that_of_one_that_is_not_read_is_not_known(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    assert reader.end() is None
    reader.open(progress)
    reader.read(1, 0.1)
    assert reader.end() == 0
    write(broker, progress.stream, EARLIER)
    assert reader.end() == 10
    reader.close()
    assert reader.end() is None


def test_another_thread_may_ask_for_the_end_while_the_source_is_opened_and_closed(
    broker: RabbitMQNode, reader: Source, progress: MemoryProgress
) -> None:
    write(broker, progress.stream, EARLIER)
    over = threading.Event()
    ends: set[int | None] = set()
    longest_seconds = 0.0

    def ask() -> None:
        nonlocal longest_seconds
        while not over.wait(0.001):
            asked_at = time.monotonic()
            ends.add(reader.end())
            longest_seconds = max(longest_seconds, time.monotonic() - asked_at)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(8):
            ends.clear()
            reader.open(progress)
            assert len(read(reader, 10)) == 10
            assert wait_until(lambda: 10 in ends, LONG_SECONDS)
            reader.close()
    finally:
        over.set()
        thread.join(LONG_SECONDS)
    assert not thread.is_alive()
    assert ends <= {None, 10}
    assert longest_seconds < 5, "it waited for an answer on a connection that was closed"
