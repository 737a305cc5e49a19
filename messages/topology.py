"""What is declared at the broker: streams, queues, and what becomes of the messages that a queue rejects."""

from collections.abc import Callable, Iterable

from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from messages.amqp import blocking_connection, parameters

NOT_FOUND = 404


def declare_streams(url: str, names: Iterable[str], max_bytes: int) -> None:
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
    """Declare a quorum queue that is not there yet; what it rejects goes to the queue `<name>.rejected`.

    Raises BrokerUnavailable.
    """

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
    with blocking_connection(parameters(url)) as connection:
        try:
            connection.channel().queue_declare(name, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise
            declare(connection.channel())
