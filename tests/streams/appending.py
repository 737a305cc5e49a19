"""What is appended to a stream is there once, in order, whatever is repeated."""

import random
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from deploy.ports import free_port
from deploy.runner import wait_until
from messages.ports import Appended, BrokerUnavailable, Message
from messages.stream_publisher import MAX_NAMES, StreamPublisher
from messages.stream_source import StreamSource
from tests.conftest import RabbitMQNode
from tests.streams.conversation import LONG_SECONDS, declare, delete, read, repeat
from tests.system import Client


@pytest.fixture
def publisher(broker: RabbitMQNode, stream: str) -> Iterator[StreamPublisher]:
    found = StreamPublisher(broker.stream_url, stream)
    yield found
    found.close()


def appended(numbers: Sequence[int], prefix: str = "") -> list[Appended]:
    return [Appended(number, f"{prefix}{number}".encode(), f"{prefix}c{number}") for number in numbers]


def content(broker: RabbitMQNode, stream: str) -> list[Message]:
    """Return all that is in a stream."""
    source = StreamSource(broker.stream_url, stream)
    source.open()
    found = read(source, 1)
    while (end := source.end()) is not None and found[-1].position + 1 < end:
        found += read(source, end - 1 - found[-1].position, 60)
    source.close()
    return found


def bodies(broker: RabbitMQNode, stream: str) -> list[bytes]:
    return [message.body for message in content(broker, stream)]


def test_messages_arrive_as_json_with_their_correlation_ids(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    sent = [Appended(1, b"{}", "c"), Appended(2, b"", None), Appended(3, bytes(range(256)) * 10, "é" * 200)]
    publisher.append("name", sent)
    found = content(broker, stream)
    assert [(message.body, message.content_type) for message in found] == [
        (message.body, "application/json") for message in sent
    ]
    assert [message.correlation_id for message in found] == ["c", None, "é" * 127]
    # And clients of AMQP 0.9.1 get the same.
    client = Client(broker.amqp_url)
    assert [body for _, body in client.read_stream(stream)] == [message.body for message in sent]
    client.close()


def test_what_was_taken_under_a_name_is_dropped_when_it_comes_again(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    publisher.append("name", appended(range(5, 10)))
    publisher.append("name", appended(range(5, 10), "again "))
    publisher.append("name", appended(range(5), "lower "))
    publisher.append("name", appended(range(7, 12), "overlap "))
    other = StreamPublisher(broker.stream_url, stream)
    other.append("name", appended(range(12), "by another "))
    other.append("name", appended([12]))
    other.close()
    assert bodies(broker, stream) == [b"5", b"6", b"7", b"8", b"9", b"overlap 10", b"overlap 11", b"12"]


def test_each_name_counts_by_itself(broker: RabbitMQNode, stream: str, publisher: StreamPublisher) -> None:
    publisher.append("one", appended([1, 2], "one "))
    publisher.append("other", appended([1, 2], "other "))
    publisher.append("one", appended([2, 3], "one "))
    assert bodies(broker, stream) == [b"one 1", b"one 2", b"other 1", b"other 2", b"one 3"]


def test_without_a_name_nothing_is_dropped(broker: RabbitMQNode, stream: str, publisher: StreamPublisher) -> None:
    for _ in range(3):
        publisher.append("", appended([2, 1]))
    assert bodies(broker, stream) == [b"2", b"1"] * 3


def test_gaps_in_the_numbers_are_no_matter(broker: RabbitMQNode, stream: str, publisher: StreamPublisher) -> None:
    numbers = [0, 7, 8, 1_000_000, 2**62]
    publisher.append("name", appended(numbers))
    publisher.append("name", appended(numbers))
    assert bodies(broker, stream) == [b"%d" % number for number in numbers]


def test_many_messages_of_all_sizes_are_there_in_order(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    random.seed(7)
    sizes = [random.choice([0, 10, 100, 300]) for _ in range(20_000)]
    for large in (10, 11, 500, 19_999):
        sizes[large] = 900_000
    sent = [Appended(number, b"%d " % number + b"x" * size, f"c{number}") for number, size in enumerate(sizes)]
    publisher.append("name", sent)
    publisher.append("name", sent)
    found = content(broker, stream)
    assert [(message.body, message.correlation_id) for message in found] == [
        (message.body, message.correlation_id) for message in sent
    ]


def test_nothing_is_sent_of_nothing(broker: RabbitMQNode, stream_name: str) -> None:
    publisher = StreamPublisher(broker.stream_url, stream_name)
    publisher.append("name", [])
    with pytest.raises(BrokerUnavailable):
        publisher.append("name", appended([1]))  # There is no such stream.
    publisher.close()


def test_more_names_than_a_connection_has_room_for_can_be_used(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    names = [f"name {number}" for number in range(MAX_NAMES + 5)]
    for name in [*names, *names[:3]]:
        publisher.append(name, appended([1], f"{name}: "))
    assert bodies(broker, stream) == [f"{name}: 1".encode() for name in names]


def test_many_threads_append_under_a_name_each(broker: RabbitMQNode, stream: str, publisher: StreamPublisher) -> None:
    names = [f"name-{number}" for number in range(16)]
    together = threading.Barrier(len(names))

    def append(name: str) -> None:
        together.wait()
        for number in range(0, 200, 10):
            # Each batch begins with the end of the one before it.
            publisher.append(name, appended(range(max(number - 5, 0), number + 10), f"{name} "))

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(append, names))
    found = bodies(broker, stream)
    assert len(found) == 200 * len(names)
    for name in names:
        prefix = f"{name} ".encode()
        assert [body for body in found if body.startswith(prefix)] == [b"%b%d" % (prefix, n) for n in range(200)]


def test_a_stream_that_is_deleted_is_said_and_can_be_appended_to_when_it_is_there_again(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    publisher.append("name", appended([1]))
    failed = threading.Event()

    def append_on() -> None:
        number = 2
        with pytest.raises(BrokerUnavailable):
            while True:
                publisher.append("name", appended([number]))
                number += 1
        failed.set()

    thread = threading.Thread(target=append_on)
    thread.start()
    delete(broker, stream)
    thread.join(LONG_SECONDS)
    assert failed.is_set()
    with pytest.raises(BrokerUnavailable):
        publisher.append("name", appended([1]))
    declare(broker, stream)
    repeat(lambda: publisher.append("name", appended([1, 2], "anew ")))
    assert bodies(broker, stream) == [b"anew 1", b"anew 2"]


def test_a_stream_that_is_missing_is_declared_and_appended_to_at_the_next_attempt(
    broker: RabbitMQNode, stream: str
) -> None:
    declared: list[str] = []

    def declare_again() -> None:
        declare(broker, stream)
        declared.append(stream)

    publisher = StreamPublisher(broker.stream_url, stream, declare=declare_again)
    publisher.append("name", appended([1]))
    for number in (2, 3):
        delete(broker, stream)
        repeat(partial(publisher.append, "name", appended([number])))
        assert bodies(broker, stream) == [b"%d" % number]
    publisher.close()
    assert declared == [stream] * 2


def test_a_broker_that_is_away_is_asked_to_declare_nothing(broker: RabbitMQNode, stream: str) -> None:
    nowhere = re.sub(r":\d+/", f":{free_port()}/", broker.stream_url)
    publisher = StreamPublisher(nowhere, stream, declare=lambda: pytest.fail("nobody knows whether it is missing"))
    with pytest.raises(BrokerUnavailable):
        publisher.append("name", appended([1]))


def test_it_can_be_used_again_after_it_was_closed(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    publisher.append("name", appended([1]))
    publisher.close()
    publisher.append("name", appended([1, 2]))
    assert bodies(broker, stream) == [b"1", b"2"]


def test_a_close_leaves_nobody_waiting(broker: RabbitMQNode, stream: str, publisher: StreamPublisher) -> None:
    started, over = threading.Event(), threading.Event()

    def append_on() -> None:
        number = 0
        while not over.is_set():
            number += 1
            repeat(partial(publisher.append, "name", appended([number])))
            started.set()

    thread = threading.Thread(target=append_on)
    thread.start()
    assert started.wait(LONG_SECONDS)
    for _ in range(5):
        publisher.close()
    over.set()
    thread.join(LONG_SECONDS)
    assert not thread.is_alive()
    found = bodies(broker, stream)
    assert found == [b"%d" % number for number in range(1, len(found) + 1)]


def test_the_connection_of_a_publisher_that_breaks_is_made_anew(
    broker: RabbitMQNode, stream: str, publisher: StreamPublisher
) -> None:
    publisher.append("name", appended([1]))
    session = publisher._session
    assert session
    session._on_gone("broken")
    publisher.append("name", appended([1, 2]))
    assert publisher._session is not session
    assert wait_until(lambda: session._connection.closed, LONG_SECONDS)
    assert bodies(broker, stream) == [b"1", b"2"]
