"""What is declared at a real broker."""

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from rstream.client import Client
from rstream.encoding import decode_frame
from rstream.schema import Frame

from messages.amqp import blocking_connection
from messages.ports import BrokerUnavailable
from messages.stream_client import partitions as found_by_the_bridge
from messages.topology import declare_input_stream, declare_streams, declare_super_stream
from tests.conftest import RabbitMQNode

MAX_BYTES = 4_000_000
PARTITIONS = 3
# Of a declaration: the mark, the exchange, a stream and its binding for each partition, the end of the mark.
STEPS = 2 + 2 * PARTITIONS + 1


def partitions(node: RabbitMQNode, name: str) -> list[str]:
    """Return the partitions of a super stream, in order, as the broker tells clients of its stream protocol."""

    async def ask() -> list[str]:
        url = urlsplit(node.stream_url)
        assert url.hostname
        assert url.port
        assert url.username
        assert url.password
        client = Client(url.hostname, url.port, frame_max=1_048_576, heartbeat=60)
        await client.start()
        await client.authenticate(vhost="/", username=url.username, password=url.password)
        try:
            return await client.partitions(name)
        finally:
            await client.close()

    def marked(frame: bytes) -> Frame:
        # RabbitMQ before 3.11 answers this query with the key of the question (its issue 5956).
        return decode_frame(b"\x80\x19" + frame[2:] if frame[:2] == b"\x00\x19" else frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rstream.connection.decode_frame", marked)
        return asyncio.run(ask())


def on_channel(node: RabbitMQNode, do: Callable[[BlockingChannel], object]) -> None:
    with blocking_connection(node.amqp_url) as connection:
        do(connection.channel())


def there(node: RabbitMQNode, look: Callable[[BlockingChannel], object]) -> bool:
    try:
        on_channel(node, look)
    except BrokerUnavailable as error:
        assert "NOT_FOUND" in str(error)
        return False
    return True


def declare(node: RabbitMQNode, name: str, number: int = PARTITIONS) -> None:
    declare_super_stream(node.amqp_url, name, number, MAX_BYTES)


def test_clients_of_the_stream_protocol_see_the_partitions_in_order(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    declare(rabbitmq, stream_name, 11)
    assert partitions(rabbitmq, stream_name) == [f"{stream_name}-{number}" for number in range(11)]
    assert not there(rabbitmq, lambda channel: channel.exchange_declare(f"{stream_name}.unfinished", passive=True))


def test_a_routing_key_leads_to_the_partition_of_that_number(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    declare(rabbitmq, stream_name)

    def publish(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        for key in ("0", "1", "2"):
            channel.basic_publish(stream_name, key, b"", mandatory=True)
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish(stream_name, "3", b"", mandatory=True)

    on_channel(rabbitmq, publish)


def test_a_partition_is_declared_as_a_stream_of_its_own_would_be(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    declare(rabbitmq, stream_name, 1)
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": MAX_BYTES,
        "x-stream-max-segment-size-bytes": MAX_BYTES // 4,
    }
    # The broker refuses to declare it again with other arguments than it has.
    on_channel(rabbitmq, lambda channel: channel.queue_declare(f"{stream_name}-0", durable=True, arguments=arguments))


@pytest.mark.parametrize("number", [1, PARTITIONS, 5])
def test_a_super_stream_that_is_there_stays_as_it_is(rabbitmq: RabbitMQNode, stream_name: str, number: int) -> None:
    declare(rabbitmq, stream_name)
    declare(rabbitmq, stream_name, number)
    assert partitions(rabbitmq, stream_name) == [f"{stream_name}-{number}" for number in range(PARTITIONS)]


def test_a_super_stream_of_somebody_else_stays_as_it_is(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    declare_streams(rabbitmq.amqp_url, [f"{stream_name}-0", f"{stream_name}-1"], MAX_BYTES)

    def bind(channel: BlockingChannel) -> None:
        channel.exchange_declare(stream_name, "direct", durable=True, arguments={"x-super-stream": True})
        for order, number in enumerate((1, 0)):
            key = f"key-{number}"
            channel.queue_bind(f"{stream_name}-{number}", stream_name, key, {"x-stream-partition-order": order})

    on_channel(rabbitmq, bind)
    declare(rabbitmq, stream_name)
    assert partitions(rabbitmq, stream_name) == [f"{stream_name}-1", f"{stream_name}-0"]


def test_a_plain_stream_of_that_name_is_left_and_said(
    rabbitmq: RabbitMQNode, stream_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    declare_streams(rabbitmq.amqp_url, [stream_name], MAX_BYTES)
    with caplog.at_level(logging.WARNING):
        declare(rabbitmq, stream_name)
    (said,) = (record.getMessage() for record in caplog.records if record.name == "messages.topology")
    assert said == f"{stream_name} is a stream or a queue already, and no super stream: it is left as it is"
    assert not there(rabbitmq, lambda channel: channel.exchange_declare(stream_name, passive=True))
    assert not there(rabbitmq, lambda channel: channel.queue_declare(f"{stream_name}-0", passive=True))


@pytest.mark.parametrize("done", range(STEPS))
def test_a_half_made_super_stream_is_completed(
    rabbitmq: RabbitMQNode, stream_name: str, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """However many steps were done when the connection broke."""
    left = [done]

    def failing(method: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, passive: bool = False, **options: object) -> object:
            if passive:
                return method(*arguments, passive=True, **options)
            if not left[0]:
                raise ConnectionResetError("broken for the test")
            left[0] -= 1
            return method(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("queue_declare", "queue_bind", "exchange_declare", "exchange_delete"):
            patch.setattr(BlockingChannel, name, failing(getattr(BlockingChannel, name)))
        with pytest.raises(BrokerUnavailable, match="broken for the test"):
            declare(rabbitmq, stream_name)
    assert left == [0]
    declare(rabbitmq, stream_name)
    assert partitions(rabbitmq, stream_name) == [f"{stream_name}-{number}" for number in range(PARTITIONS)]
    assert not there(rabbitmq, lambda channel: channel.exchange_declare(f"{stream_name}.unfinished", passive=True))


def test_a_broker_that_is_away_is_said() -> None:
    with pytest.raises(BrokerUnavailable, match="RabbitMQ"):
        declare_super_stream("amqp://127.0.0.1:9/", "reviews", 1, MAX_BYTES)


def reached(node: RabbitMQNode, name: str) -> bool:
    """Return whether the exchange of that name leads anywhere."""

    def publish(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        channel.basic_publish(name, "any", b"", mandatory=True)

    try:
        on_channel(node, publish)
    except BrokerUnavailable as error:
        assert "unroutable" in str(error)
        return False
    return True


def test_a_stream_that_is_read_has_an_entrance_also_once_it_is_made_anew(
    rabbitmq: RabbitMQNode, stream_name: str
) -> None:
    # An earlier release has declared the stream alone.
    declare_streams(rabbitmq.amqp_url, [stream_name], MAX_BYTES)
    for _ in range(2):
        declare_input_stream(rabbitmq.amqp_url, stream_name, MAX_BYTES)
        assert reached(rabbitmq, stream_name)
        assert found_by_the_bridge(rabbitmq.stream_url, stream_name) == [stream_name]
        on_channel(rabbitmq, lambda channel: channel.queue_delete(stream_name))
        assert not reached(rabbitmq, stream_name)


def test_an_exchange_of_somebody_else_is_no_entrance_and_stays(
    rabbitmq: RabbitMQNode, stream_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    on_channel(rabbitmq, lambda channel: channel.exchange_declare(stream_name, "topic"))
    declare_input_stream(rabbitmq.amqp_url, stream_name, MAX_BYTES)
    assert f"{stream_name} can't be reached by an exchange of its name: PRECONDITION_FAILED" in caplog.text
    on_channel(rabbitmq, lambda channel: channel.exchange_declare(stream_name, "topic"))
    assert found_by_the_bridge(rabbitmq.stream_url, stream_name) == [stream_name]
