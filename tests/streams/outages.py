"""A broker that dies, or is silent, is found out; and when it is there again nothing is lost and nothing repeated."""

import os
import signal
import threading
from functools import partial

import pytest

from messages import stream_client
from messages.ports import Appended, BrokerUnavailable
from messages.stream_publisher import StreamPublisher
from messages.stream_source import StreamSource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import (
    RESTART_SECONDS,
    MemoryProgress,
    bodies_of,
    declare,
    delete,
    group_of,
    read,
    read_on,
    repeat,
    write,
)

HEARTBEAT_SECONDS = 1


@pytest.fixture
def frequent_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_client, "HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)


@pytest.fixture(scope="module")
def lasting_streams(broker: RabbitMQNode) -> None:
    """Have the broker's streams outlast a SIGKILL: for seconds, it would forget that it has any since its first one."""
    declare(broker, "lasting")
    broker.stop()
    broker.start()
    repeat(lambda: delete(broker, "lasting"))


@pytest.mark.usefixtures("lasting_streams")
def test_reading_goes_on_behind_what_is_done_when_a_killed_broker_is_back(broker: RabbitMQNode, stream: str) -> None:
    write(broker, stream, bodies_of(20))
    sources = [StreamSource(broker.stream_url, stream, group=group) for group in (None, group_of(broker))]
    progresses = [MemoryProgress(stream) for _ in sources]
    for source, progress in zip(sources, progresses, strict=True):
        source.open(progress)
        progress.done(read(source, 8))
    broker.kill()
    for source, progress in zip(sources, progresses, strict=True):
        with pytest.raises(BrokerUnavailable):
            read(source, 20)
        with pytest.raises(BrokerUnavailable):
            source.open(progress)
        assert source.end() is None
    broker.start()
    for source, progress in zip(sources, progresses, strict=True):
        found = read_on(source, progress, 12)
        assert [message.body for message in found] == bodies_of(12, first=8)
        assert [message.offset for message in found] == list(range(8, 20))
        assert (len(progress.epochs), progress.gaps) == (1, [])
    write(broker, stream, [b"later"])
    for source in sources:
        assert [message.body for message in read(source, 1)] == [b"later"]
        source.close()


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_broker_that_is_silent_is_found_out(broker: RabbitMQNode, stream: str) -> None:
    write(broker, stream, bodies_of(10))
    source, progress = StreamSource(broker.stream_url, stream), MemoryProgress(stream)
    source.open(progress)
    progress.done(read(source, 4))
    os.killpg(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailable, match="nothing was heard"):
            read(source, 7, 10 * HEARTBEAT_SECONDS)
    finally:
        os.killpg(broker.pid, signal.SIGCONT)
    found = read_on(source, progress, 6)
    assert [message.body for message in found] == bodies_of(6, first=4)
    source.close()


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_broker_that_sends_nothing_but_chunks_is_not_silent(broker: RabbitMQNode, stream: str) -> None:
    source, progress = StreamSource(broker.stream_url, stream), MemoryProgress(stream)
    source.open(progress)
    over = threading.Event()
    publisher = StreamPublisher(broker.stream_url, stream)

    def publish() -> None:
        while not over.wait(0.01):
            publisher.append("", [Appended(0, b"text", None)])

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        # As many as take several times as long as silence may.
        read(source, 500 * HEARTBEAT_SECONDS, 60)
    finally:
        over.set()
        thread.join()
        publisher.close()
        source.close()


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_connection_on_which_nothing_happens_stays(broker: RabbitMQNode, stream: str) -> None:
    source = StreamSource(broker.stream_url, stream)
    source.open(MemoryProgress(stream))
    assert source.read(1, 4 * HEARTBEAT_SECONDS) == []
    write(broker, stream, [b"text"])
    assert [message.body for message in read(source, 1)] == [b"text"]
    source.close()


@pytest.mark.usefixtures("lasting_streams")
def test_what_is_repeated_until_it_is_confirmed_is_there_once_when_a_broker_was_killed(
    broker: RabbitMQNode, stream: str
) -> None:
    publisher = StreamPublisher(broker.stream_url, stream)
    batches = [range(first, first + 50) for first in range(0, 20_000, 50)]
    began, over = threading.Event(), threading.Event()
    failures: list[BrokerUnavailable] = []

    def append(batch: range) -> None:
        try:
            publisher.append("name", [Appended(number, b"%d" % number, None) for number in batch])
        except BrokerUnavailable as error:
            failures.append(error)
            raise

    def append_all() -> None:
        for batch in batches:
            repeat(partial(append, batch))
            if batch.start >= 1000:
                began.set()
        over.set()

    thread = threading.Thread(target=append_all)
    thread.start()
    assert began.wait(RESTART_SECONDS)
    broker.kill()
    assert not over.is_set(), "all was published before the broker was killed"
    broker.start()
    assert over.wait(RESTART_SECONDS)
    thread.join()
    publisher.close()
    assert failures
    source, progress = StreamSource(broker.stream_url, stream), MemoryProgress(stream)
    source.open(progress)
    assert [message.body for message in read_on(source, progress, 20_000)] == [b"%d" % n for n in range(20_000)]
    assert source.end() == 20_000
    source.close()


@pytest.mark.usefixtures("frequent_heartbeats")
def test_a_publisher_finds_out_that_a_broker_is_silent(broker: RabbitMQNode, stream: str) -> None:
    publisher = StreamPublisher(broker.stream_url, stream)
    publisher.append("name", [Appended(1, b"1", None)])
    os.killpg(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailable, match="nothing was heard"):
            publisher.append("name", [Appended(2, b"2", None)])
    finally:
        os.killpg(broker.pid, signal.SIGCONT)
    repeat(lambda: publisher.append("name", [Appended(2, b"2", None), Appended(3, b"3", None)]))
    publisher.close()
    source = StreamSource(broker.stream_url, stream)
    source.open()
    assert [message.body for message in read(source, 3)] == [b"1", b"2", b"3"]
    assert source.end() == 3
    source.close()
