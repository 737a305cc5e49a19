"""What is published arrives as it was, whatever its size; and what the broker does not take is said."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from messages.ports import BrokerUnavailable, Outgoing
from messages.publisher import AmqpPublisher
from tests.conftest import RabbitMQNode
from tests.system import Client


@pytest.fixture
def client(rabbitmq: RabbitMQNode, stream_name: str) -> Iterator[Client]:
    found = Client(rabbitmq.amqp_url)
    found.declare(stream_name)
    yield found
    found.channel.queue_delete(stream_name)
    found.close()


@pytest.fixture
def unroutable() -> list[str]:
    return []


@pytest.fixture
def publisher(rabbitmq: RabbitMQNode, unroutable: list[str]) -> Iterator[AmqpPublisher]:
    found = AmqpPublisher(rabbitmq.amqp_url, on_unroutable=unroutable.append)
    yield found
    found.close()


def test_messages_arrive_with_their_properties(client: Client, publisher: AmqpPublisher, stream_name: str) -> None:
    bodies = [b"", b"x", b"x" * 131_064, b"x" * 131_065, bytes(range(256)) * 4_000]
    sent = [Outgoing(stream_name, body, f"é{number}", f"m{number}", "r") for number, body in enumerate(bodies)]
    sent += [Outgoing(stream_name, b"plain", content_type="text/plain", persistent=True)]
    publisher.publish(sent)
    found = [
        Outgoing(
            stream_name, body, properties.correlation_id, properties.message_id, properties.reply_to,
            properties.content_type or "", properties.delivery_mode == 2,
        )
        for properties, body in client.drain(stream_name)
    ]  # fmt: skip
    assert found == sent


def test_many_threads_publish_at_once(client: Client, publisher: AmqpPublisher, stream_name: str) -> None:
    batches = [[Outgoing(stream_name, b"%d" % number)] * size for number, size in enumerate([1, 1000, 7, 300] * 5)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publisher.publish, batches))
    assert client.depth(stream_name) == sum(map(len, batches))


def test_queues_that_do_not_exist_are_told_and_the_rest_is_published(
    client: Client, publisher: AmqpPublisher, stream_name: str, unroutable: list[str]
) -> None:
    names = ["gone", stream_name, "too long" * 40, stream_name]
    publisher.publish([Outgoing(name, b"text") for name in names])
    assert sorted(unroutable) == ["gone", "too long" * 40]
    assert client.depth(stream_name) == 2


def test_what_the_broker_refuses_is_said(client: Client, publisher: AmqpPublisher, stream_name: str) -> None:
    client.channel.queue_delete(stream_name)
    client.channel.queue_declare(stream_name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    publisher.publish([Outgoing(stream_name, b"text")])
    with pytest.raises(BrokerUnavailable, match="refused 3 messages"):
        publisher.publish([Outgoing(stream_name, b"text")] * 3)
