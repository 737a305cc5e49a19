"""What is published arrives as it was, whatever its size; what the broker does not take is said, and sent again."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.runner import wait_until
from messages.ports import BrokerUnavailable, Outgoing
from messages.publisher import AmqpPublisher
from messages.replies import Dropped
from messages.topology import declare_streams
from tests.conftest import RabbitMQNode
from tests.control import out_of_memory, stuck
from tests.system import Client

REFUSES = {"x-max-length": 1, "x-overflow": "reject-publish"}


@pytest.fixture
def client(rabbitmq: RabbitMQNode, stream_name: str) -> Iterator[Client]:
    found = Client(rabbitmq.amqp_url)
    found.declare(stream_name)
    yield found
    found.channel.queue_delete(stream_name)
    found.close()


@pytest.fixture
def full(client: Client, stream_name: str) -> Iterator[str]:
    """A queue that has room for no more."""
    name = f"{stream_name}-full"
    client.channel.queue_declare(name, arguments=REFUSES)
    client.publish(name, [b"text"])
    yield name
    client.channel.queue_delete(name)


@pytest.fixture
def dropped() -> Counter[Dropped]:
    return Counter()


@pytest.fixture
def publisher(rabbitmq: RabbitMQNode, dropped: Counter[Dropped]) -> Iterator[AmqpPublisher]:
    found = AmqpPublisher(
        rabbitmq.amqp_url,
        may_reply_to=lambda queue: queue != "predictions",
        on_dropped=lambda why, count: dropped.update({why: count}),
    )
    yield found
    found.close()


@pytest.fixture(params=["publish", "reply"])
def send(request: pytest.FixtureRequest, publisher: AmqpPublisher) -> Callable[[list[Outgoing]], None]:
    found: Callable[[list[Outgoing]], None] = getattr(publisher, request.param)
    return found


def to(*queues: str) -> list[Outgoing]:
    return [Outgoing(queue, b"%d" % number) for number, queue in enumerate(queues)]


def bodies(client: Client, queue: str) -> list[bytes]:
    return [body for _, body in client.drain(queue)]


def test_messages_arrive_with_their_properties(
    client: Client, send: Callable[[list[Outgoing]], None], stream_name: str
) -> None:
    content = [b"", b"x", b"x" * 131_064, b"x" * 131_065, bytes(range(256)) * 4_000]
    sent = [Outgoing(stream_name, body, f"é{number}", f"m{number}", "r") for number, body in enumerate(content)]
    sent += [Outgoing(stream_name, b"plain", content_type="text/plain", persistent=True)]
    waiting = [*sent]
    send(waiting)
    assert waiting == []
    found = [
        Outgoing(
            stream_name, body, properties.correlation_id, properties.message_id, properties.reply_to,
            properties.content_type or "", properties.delivery_mode == 2,
        )
        for properties, body in client.drain(stream_name)
    ]  # fmt: skip
    assert found == sent


def test_many_threads_send_at_once(client: Client, send: Callable[[list[Outgoing]], None], stream_name: str) -> None:
    batches = [[Outgoing(stream_name, b"%d" % number)] * size for number, size in enumerate([1, 1000, 7, 300] * 5)]
    count = sum(map(len, batches))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, batches))
    assert client.depth(stream_name) == count


def test_what_the_broker_refuses_is_said_and_only_that_is_left_to_be_published_again(
    client: Client, publisher: AmqpPublisher, stream_name: str, full: str
) -> None:
    waiting = to(stream_name, full, stream_name, full)
    for _ in range(3):
        with pytest.raises(BrokerUnavailable, match="refused 2 messages"):
            publisher.publish(waiting)
        assert waiting == [Outgoing(full, b"1"), Outgoing(full, b"3")]
    client.channel.queue_delete(full)
    client.channel.queue_declare(full)
    publisher.publish(waiting)
    assert (bodies(client, stream_name), bodies(client, full), waiting) == ([b"0", b"2"], [b"1", b"3"], [])


def test_a_queue_that_is_missing_is_declared_and_what_was_for_it_is_left_to_be_published_again(
    rabbitmq: RabbitMQNode, client: Client, stream_name: str
) -> None:
    missing = f"{stream_name}-missing"
    publisher = AmqpPublisher(
        rabbitmq.amqp_url, declare=lambda: declare_streams(rabbitmq.amqp_url, [missing], 1_000_000)
    )
    waiting = to(stream_name, missing, missing)
    with pytest.raises(BrokerUnavailable, match=f"there was no {missing}"):
        publisher.publish(waiting)
    assert waiting == [Outgoing(missing, b"1"), Outgoing(missing, b"2")]
    publisher.publish(waiting)
    publisher.close()
    assert bodies(client, stream_name) == [b"0"]
    assert [body for _, body in client.read_stream(missing)] == [b"1", b"2"]
    client.channel.queue_delete(missing)


def test_replies_that_their_queue_can_not_take_are_dropped_and_counted_and_the_rest_is_sent_once(
    client: Client, publisher: AmqpPublisher, dropped: Counter[Dropped], stream_name: str, full: str
) -> None:
    waiting = to(stream_name, full, "gone", "too long" * 40, "predictions", stream_name, full, "gone")
    publisher.reply(waiting)
    assert waiting == []
    assert bodies(client, stream_name) == [b"0", b"5"]
    assert dropped == {Dropped.REFUSED: 2, Dropped.UNROUTABLE: 3, Dropped.FORBIDDEN: 1}


def test_replies_to_a_queue_that_can_take_some_are_dropped_beyond_those(
    client: Client, publisher: AmqpPublisher, dropped: Counter[Dropped], stream_name: str
) -> None:
    client.channel.queue_delete(stream_name)
    client.channel.queue_declare(stream_name, arguments={**REFUSES, "x-max-length": 10})
    publisher.reply(to(*itertools.repeat(stream_name, 100)))
    arrived = bodies(client, stream_name)
    assert arrived == [b"%d" % number for number in range(len(arrived))]
    assert 10 <= len(arrived) < 100, "the broker may take some more"
    assert dropped == {Dropped.REFUSED: 100 - len(arrived)}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messages.replies.TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr("messages.replies.CHECK_SECONDS", 1.0)


@pytest.mark.usefixtures("hasty")
def test_replies_to_a_stuck_queue_are_dropped_and_those_to_others_sent_again(
    rabbitmq: RabbitMQNode, client: Client, publisher: AmqpPublisher, dropped: Counter[Dropped], stream_name: str
) -> None:
    queue = f"{stream_name}-stuck"
    client.declare(queue)
    with stuck(rabbitmq, queue):
        # What is behind so many is not even read by the broker.
        waiting = to(*itertools.repeat(queue, 3_000), stream_name)
        with pytest.raises(BrokerUnavailable, match="no confirm in 1 s"):
            publisher.reply(waiting)
        assert (waiting, dropped) == (to(*itertools.repeat(queue, 3_000), stream_name)[-1:], {"unconfirmed": 3_000})
        publisher.reply(waiting)
        publisher.reply(to(queue, stream_name))
        assert dropped == {"unconfirmed": 3_001}
    # The check may have sent one of its own.
    assert {*bodies(client, stream_name)} == {b"3000", b"1"}
    client.channel.queue_delete(queue)


@pytest.mark.usefixtures("hasty")
def test_a_queue_that_was_stuck_gets_replies_again_after_a_while(
    rabbitmq: RabbitMQNode,
    client: Client,
    publisher: AmqpPublisher,
    dropped: Counter[Dropped],
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messages.replies.STUCK_SECONDS", 1.0)
    with stuck(rabbitmq, stream_name):
        publisher.reply(to(stream_name))
    assert dropped == {"unconfirmed": 1}

    def arrives() -> bool:
        publisher.reply([Outgoing(stream_name, b"later")])
        return b"later" in bodies(client, stream_name)

    assert wait_until(arrives, 10)


@pytest.mark.usefixtures("hasty")
def test_no_reply_is_dropped_while_it_is_the_broker_that_takes_nothing(
    rabbitmq: RabbitMQNode, client: Client, publisher: AmqpPublisher, dropped: Counter[Dropped], stream_name: str
) -> None:
    waiting = to(stream_name, stream_name)
    publisher.reply([Outgoing(stream_name, b"before")])
    with out_of_memory(rabbitmq):
        for _ in range(2):
            with pytest.raises(BrokerUnavailable):
                publisher.reply(waiting)
        assert waiting == to(stream_name, stream_name)
    publisher.reply(waiting)
    assert (waiting, dropped) == ([], {})
    assert {*bodies(client, stream_name)} == {b"before", b"0", b"1"}
