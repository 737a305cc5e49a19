"""What the bridge declares at the broker: streams, queues, what rejected messages of a queue become."""

from collections.abc import Callable, Sequence

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from bridge.rabbitmq import parameters, unavailable
from bridge.reviews import PREDICTIONS, REJECTED
from bridge.settings import Settings

NOT_FOUND = 404


def declare(settings: Settings) -> None:
    """Declare what the bridge reads from and writes to, where it is missing; raises BrokerUnavailable."""
    streams = [PREDICTIONS, REJECTED]
    if settings.labels_stream:
        streams.append(settings.labels_stream)
    if settings.source_is_stream:
        streams.append(settings.source)
    else:
        declare_queue(settings.rabbitmq_url, settings.source)
    declare_streams(settings.rabbitmq_url, streams, settings.stream_max_bytes)


def declare_streams(url: str, names: Sequence[str], max_bytes: int) -> None:
    """Declare streams that are not there yet, each bounded to `max_bytes`; raises BrokerUnavailable."""
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": max_bytes,
        # Only whole segments are dropped, so a small bound needs small segments.
        "x-stream-max-segment-size-bytes": max(min(max_bytes // 4, 500_000_000), 1_000_000),
    }
    for name in names:

        def declare(channel: BlockingChannel, name: str = name) -> None:
            channel.queue_declare(name, durable=True, arguments=arguments)

        _declare(url, name, declare)


def declare_reply_queue(url: str, name: str, expires_seconds: int) -> None:
    """Declare a queue for one client's replies, deleted once unused for `expires_seconds`; raises BrokerUnavailable."""
    arguments = {"x-expires": expires_seconds * 1000}
    _declare(url, name, lambda channel: channel.queue_declare(name, durable=True, arguments=arguments))


def declare_queue(url: str, name: str) -> None:
    """Declare a quorum queue that is not there yet; what it rejects goes to the queue `<name>.rejected`."""

    def declare(channel: BlockingChannel) -> None:
        exchange = f"{name}.dead-letter"
        channel.exchange_declare(exchange, exchange_type="fanout", durable=True)
        channel.queue_declare(f"{name}.rejected", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(f"{name}.rejected", exchange)
        arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": exchange}
        channel.queue_declare(name, durable=True, arguments=arguments)

    _declare(url, name, declare)


def _declare(url: str, name: str, declare: Callable[[BlockingChannel], object]) -> None:
    """Declare what is missing; what is there stays as somebody else declared it, whatever its arguments."""
    with unavailable():
        connection = pika.BlockingConnection(parameters(url))
        try:
            connection.channel().queue_declare(name, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise
            declare(connection.channel())
        finally:
            connection.close()
