"""Groups of readers over RabbitMQ 4, which chooses the active one, and spreads the partitions of a super stream."""

from collections.abc import Iterator, Sequence

import pytest

from deploy.runner import wait_until
from messages.ports import Message, Superseded
from messages.stream_client import partitions
from messages.stream_source import StreamSource
from messages.topology import declare_super_stream
from tests.conftest import RabbitMQNode
from tests.streams.conversation import LONG_SECONDS, MemoryProgress, bodies_of, delete, group_of, read, write
from tests.streams.groups import *  # noqa: F403 - the suite
from tests.streams.groups import Readers, break_connection

PARTITIONS = 3
MESSAGES = 60


class Bridge:
    """A reader of each partition, as one process has them."""

    def __init__(self, broker: RabbitMQNode, name: str, progress: dict[str, MemoryProgress]) -> None:
        self.progress = progress
        group = group_of(broker, name)
        self.sources = {
            # As little ahead as there can be, so that much is left with the broker.
            partition: StreamSource(broker.stream_url, partition, group=group, buffer_bytes=1)
            for partition in progress
        }

    def open(self) -> None:
        for partition, source in self.sources.items():
            source.open(self.progress[partition])

    def superseded(self) -> list[str]:
        """Look at each partition once; returns those that another bridge takes over."""
        found = []
        for partition, source in self.sources.items():
            try:
                if messages := source.read(1, 0.1):
                    self.progress[partition].done(messages)
            except Superseded:
                found.append(partition)
        return found

    def reads(self) -> set[str]:
        """Return the partitions whose turn it is here."""
        return {partition for partition, source in self.sources.items() if source.end() is not None}

    def close(self) -> None:
        for source in self.sources.values():
            source.close()


@pytest.fixture
def shared(broker: RabbitMQNode, stream_name: str) -> Iterator[dict[str, MemoryProgress]]:
    """The partitions of a super stream, each with messages that are chunks of their own, and how far they are done."""
    declare_super_stream(broker.amqp_url, stream_name, PARTITIONS, 10_000_000)
    found = {partition: MemoryProgress(partition) for partition in partitions(broker.stream_url, stream_name)}
    for partition in found:
        write(broker, partition, bodies_of(MESSAGES))
    yield found
    delete(broker, *found)


@pytest.fixture
def bridges(broker: RabbitMQNode, stream_name: str, shared: dict[str, MemoryProgress]) -> Iterator[Sequence[Bridge]]:
    found = [Bridge(broker, stream_name, shared) for _ in range(2)]
    yield found
    for bridge in found:
        bridge.close()


def rest_of(source: StreamSource, progress: MemoryProgress) -> list[Message]:
    """Read what is not done, to the end of what was written."""
    done = progress.position.offset if progress.position else -1
    return read(source, MESSAGES - 1 - done)


def test_a_bridge_that_joins_gets_a_partition_once_the_other_stands_by(
    bridges: Sequence[Bridge], shared: dict[str, MemoryProgress]
) -> None:
    one, other = bridges
    one.open()
    assert one.superseded() == []
    assert wait_until(lambda: not one.superseded() and one.reads() == set(shared), LONG_SECONDS)
    other.open()
    taken: list[str] = []

    def one_is_superseded() -> bool:
        taken.extend(one.superseded())
        return bool(taken)

    assert wait_until(one_is_superseded, LONG_SECONDS)
    (partition,) = taken
    progress = shared[partition]
    # What the first one has in hand is not done yet.
    before = progress.taken
    assert other.sources[partition].read(10, 1) == []
    assert (progress.taken, partition in one.reads()) == (before, False)
    first_of_rest = progress.position.offset + 1 if progress.position else 0
    one.sources[partition].stand_by()
    rest = rest_of(other.sources[partition], progress)
    assert [message.offset for message in rest] == list(range(first_of_rest, MESSAGES))
    assert one.sources[partition].read(10, 0.5) == []
    assert other.reads() == {partition}
    assert one.reads() == set(shared) - {partition}


def test_a_bridge_that_stood_by_reads_on_when_the_other_ends(
    bridges: Sequence[Bridge], shared: dict[str, MemoryProgress]
) -> None:
    one, other = bridges
    one.open()
    assert wait_until(lambda: not one.superseded() and one.reads() == set(shared), LONG_SECONDS)
    # All that the broker may send has come, and lies unread when another's turn comes.
    assert wait_until(lambda: all(source._chunks for source in one.sources.values()), LONG_SECONDS)
    other.open()
    assert wait_until(lambda: any(source._updates for source in one.sources.values()), LONG_SECONDS)
    (partition,) = one.superseded()
    one.sources[partition].stand_by()
    progress = shared[partition]
    progress.done(read(other.sources[partition], 5))
    other.close()
    rest = rest_of(one.sources[partition], progress)
    assert rest[-1].offset == MESSAGES - 1
    assert [message.offset for message in rest] == list(range(rest[0].position, MESSAGES))
    for name in set(shared) - {partition}:
        rest_of(one.sources[name], shared[name])
    assert all(progress.gaps == [] and len(progress.epochs) == 1 for progress in shared.values())


def test_another_reader_goes_on_when_the_connection_of_the_active_one_breaks(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    write(broker, stream, bodies_of(10))
    one, other = new_reader(), new_reader()
    one.open(progress)
    progress.done(read(one, 4))
    other.open(progress)
    assert other.read(10, 0.1) == []
    break_connection(one)
    assert [message.body for message in read(other, 6)] == bodies_of(6, first=4)
