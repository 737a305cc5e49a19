"""What is declared at the broker: streams, queues, and what becomes of the messages that a queue rejects."""

from collections.abc import Iterable

import pika
from pika.exceptions import ChannelClosedByBroker

from messages.amqp import blocking_connection


def declare_streams(url: str, names: Iterable[str], max_bytes: int) -> None:
    """Declare streams that are not there yet, each bounded to `max_bytes`; raises BrokerUnavailable."""
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": max_bytes,
        # Only whole segments are dropped, so a small bound needs small segments.
        "x-stream-max-segment-size-bytes": max(min(max_bytes // 4, 500_000_000), 1_000_000),
    }
    with blocking_connection(url) as connection:
        for name in names:
            if _missing(connection, name):
                connection.channel().queue_declare(name, durable=True, arguments=arguments)


def declare_reply_queue(url: str, name: str) -> None:
    """Declare a queue for one client's replies, deleted once unused for ten minutes; raises BrokerUnavailable."""
    with blocking_connection(url) as connection:
        connection.channel().queue_declare(name, durable=True, arguments={"x-expires": 600_000})


def declare_queue(url: str, name: str) -> None:
    """Declare a quorum queue that is not there yet; what it rejects goes to the queue `<name>.rejected`.

    Raises BrokerUnavailable.
    """
    exchange = f"{name}.dead-letter"
    arguments = {"x-queue-type": "quorum"}
    with blocking_connection(url) as connection:
        if _missing(connection, name):
            channel = connection.channel()
            channel.exchange_declare(exchange, exchange_type="fanout", durable=True)
            channel.queue_declare(f"{name}.rejected", durable=True, arguments=arguments)
            channel.queue_bind(f"{name}.rejected", exchange)
            channel.queue_declare(name, durable=True, arguments={**arguments, "x-dead-letter-exchange": exchange})


def _missing(connection: pika.BlockingConnection, name: str) -> bool:
    """Return whether there is no such queue; what is there stays as somebody declared it, whatever its arguments."""
    try:
        connection.channel().queue_declare(name, passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return True
    return False
