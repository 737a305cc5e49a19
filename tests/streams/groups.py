"""Of the readers of one group one reads; when it ends, whichever way, another goes on behind what is done."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection

import pytest

from deploy.runner import wait_until
from messages import stream_client
from messages.ports import BrokerUnavailable, Source
from messages.stream_source import Group, StreamSource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import LONG_SECONDS, MemoryProgress, bodies_of, group_of, read, write

Readers = Callable[[], StreamSource]


@pytest.fixture
def new_reader(broker: RabbitMQNode, stream: str) -> Iterator[Readers]:
    """Makes readers of one group."""
    made: list[StreamSource] = []

    def make() -> StreamSource:
        made.append(StreamSource(broker.stream_url, stream, group=group_of(broker)))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def progress(stream: str) -> MemoryProgress:
    return MemoryProgress(stream)


def read_in_process(url: str, stream: str, group: Group, found: Connection) -> None:
    """Read a stream, and say how many messages have come, until killed."""
    source = StreamSource(url, stream, group=group)
    source.open(MemoryProgress(stream))
    while True:
        if messages := source.read(100, 60):
            found.send(len(messages))


def test_one_of_a_group_reads_and_another_goes_on_behind_what_is_done(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    write(broker, stream, bodies_of(10))
    one, other = new_reader(), new_reader()
    one.open(progress)
    first = read(one, 6)
    other.open(progress)
    assert other.read(10, 1.5) == []
    assert (one.end(), other.end()) == (10, None)
    progress.done(first[:4])
    one.close()
    assert [message.body for message in read(other, 6)] == bodies_of(6, first=4)
    assert (one.end(), other.end()) == (None, 10)


def test_the_right_to_read_goes_round(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    readers = [new_reader() for _ in range(3)]
    for reader in readers:
        reader.open(progress)
        reader.read(1, 0.1)
    for turn in range(6):
        write(broker, stream, [b"%d" % turn])
        active, *waiting = readers
        (message,) = read(active, 1)
        assert (message.offset, message.body) == (turn, b"%d" % turn)
        progress.done([message])
        # Who is next may be any of those that wait: all but one end, and come back.
        active.close()
        following, last = waiting
        last.close()
        assert wait_until(partial(is_active, following), LONG_SECONDS)
        for reader in (last, active):
            reader.open(progress)
            reader.read(1, 0.1)
        readers = [following, last, active]
    assert progress.gaps == []


def test_readers_of_different_groups_have_all_each(broker: RabbitMQNode, stream: str) -> None:
    write(broker, stream, bodies_of(3))
    alone = StreamSource(broker.stream_url, stream)
    grouped = StreamSource(broker.stream_url, stream, group=group_of(broker))
    for source in (alone, grouped):
        source.open(MemoryProgress(stream))
        assert [message.body for message in read(source, 3)] == bodies_of(3)
    alone.close()
    grouped.close()


def test_another_goes_on_when_the_process_that_reads_is_killed(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    write(broker, stream, bodies_of(10))
    one = StreamSource(broker.stream_url, stream)
    one.open(progress)
    progress.done(read(one, 4))
    one.close()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=read_in_process, args=(broker.stream_url, stream, group_of(broker), sender)
    )
    process.start()
    try:
        assert receiver.poll(30), "the process does not read"
        other = new_reader()
        other.open(progress)
        assert other.read(10, 1.5) == []
    finally:
        process.kill()
        process.join()
        process.close()
    assert [message.body for message in read(other, 6)] == bodies_of(6, first=4)
    receiver.close()
    sender.close()


def test_a_reader_whose_connection_breaks_says_so_and_a_group_reads_on(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    write(broker, stream, bodies_of(10))
    one, other = new_reader(), new_reader()
    one.open(progress)
    progress.done(read(one, 4))
    other.open(progress)
    assert other.read(10, 0.1) == []
    break_connection(one)
    with pytest.raises(BrokerUnavailable):
        read(one, 10)
    # As the bridge does; who is first now is open.
    one.open(progress)
    found = read_with(one, other, 6)
    assert found == bodies_of(6, first=4)


def is_active(source: Source) -> bool:
    """Return whether it is a source's turn, which has nothing to read."""
    return source.read(1, 0.1) == [] and source.end() is not None


def break_connection(source: StreamSource) -> None:
    """Have the socket of a source end without a word, as when a network does."""
    assert source._connection
    connection = source._connection._client._conn
    assert connection
    assert connection._writer
    stream_client._loop().call_soon_threadsafe(connection._writer.transport.abort)


def read_with(one: Source, other: Source, count: int) -> list[bytes]:
    """Read so many messages with whichever of two sources is to read."""
    found: list[bytes] = []
    deadline = time.monotonic() + LONG_SECONDS
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} came"
        for source in (one, other):
            found += [message.body for message in source.read(count - len(found), 0.1)]
    return found
