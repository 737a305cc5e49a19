"""Groups of readers over the system's RabbitMQ, which may know of none: then a lock decides who reads."""

import logging
from collections.abc import Iterator

import pytest

from messages.lock import ReaderLock
from messages.ports import BrokerUnavailable
from messages.stream_source import LOCK_RETRY_SECONDS
from tests.conftest import RabbitMQNode
from tests.streams.conversation import MemoryProgress, bodies_of, chooses_readers, read, write
from tests.streams.groups import *  # noqa: F403 - the suite
from tests.streams.groups import Readers


@pytest.fixture(scope="module")
def needs_locks(broker: RabbitMQNode) -> None:
    if chooses_readers(broker):
        pytest.skip("this RabbitMQ chooses the active reader itself")


@pytest.mark.usefixtures("needs_locks")
def test_a_reader_that_waits_for_its_lock_says_so_once(
    stream: str, new_reader: Readers, progress: MemoryProgress, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = new_reader(), new_reader()
    one.open(progress)
    one.read(1, 0.1)
    other.open(progress)
    with caplog.at_level(logging.WARNING):
        assert other.read(1, 3.5 * LOCK_RETRY_SECONDS) == []
    (record,) = [record for record in caplog.records if record.name == "messages.stream_source"]
    assert record.getMessage().startswith(f"{stream} is read by another bridge; this one waits")


@pytest.mark.usefixtures("needs_locks")
def test_a_reader_that_lost_its_lock_reads_no_more_and_another_goes_on(
    broker: RabbitMQNode, stream: str, new_reader: Readers, progress: MemoryProgress
) -> None:
    write(broker, stream, bodies_of(4))
    one, other = new_reader(), new_reader()
    one.open(progress)
    progress.done(read(one, 2))
    other.open(progress)
    assert other.read(1, 0.1) == []
    assert one._lock
    one._lock.release()
    assert [message.body for message in read(other, 2)] == bodies_of(2, first=2)
    one._messages = iter(())
    with pytest.raises(BrokerUnavailable, match="lock of its reader was lost"):
        one.read(10, 0.1)


@pytest.fixture
def locks(rabbitmq: RabbitMQNode, stream_name: str) -> Iterator[list[ReaderLock]]:
    found = [ReaderLock(rabbitmq.amqp_url, stream_name) for _ in range(2)]
    yield found
    for lock in found:
        lock.release()


def test_a_lock_is_held_by_one_until_it_gives_it_up(locks: list[ReaderLock]) -> None:
    one, other = locks
    assert not one.held
    assert one.acquire()
    assert one.acquire(), "who holds it may ask again"
    assert not other.acquire()
    assert not other.acquire()
    assert (one.held, other.held) == (True, False)
    one.release()
    assert not one.held
    assert other.acquire()
    assert not one.acquire()
    assert (one.held, other.held) == (False, True)


def test_locks_of_different_streams_are_apart(rabbitmq: RabbitMQNode, locks: list[ReaderLock]) -> None:
    one, _ = locks
    another = ReaderLock(rabbitmq.amqp_url, "another")
    assert one.acquire()
    assert another.acquire()
    another.release()


def test_a_lock_is_lost_with_its_connection_and_can_be_had_again(locks: list[ReaderLock]) -> None:
    one, other = locks
    assert one.acquire()
    assert one._connection
    one._connection.fail(OSError("broken"))
    one._connection._thread.join(10)
    assert not one.held
    assert other.acquire()
    other.release()
    assert one.acquire()


def test_a_lock_can_not_be_had_without_its_broker(stream_name: str) -> None:
    lock = ReaderLock("amqp://127.0.0.1:1/", stream_name)
    with pytest.raises(BrokerUnavailable):
        lock.acquire()
    assert not lock.held
