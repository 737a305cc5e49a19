"""What is declared at the broker: streams, queues, and what becomes of the messages that a queue rejects."""

import logging
from collections.abc import Callable, Iterable

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from messages.amqp import blocking_connection

logger = logging.getLogger(__name__)


def declare_streams(url: str, names: Iterable[str], max_bytes: int) -> None:
    """Declare streams that are not there yet, each bounded to `max_bytes`; raises BrokerUnavailable."""
    with blocking_connection(url) as connection:
        for name in names:
            _declare_stream(connection, name, max_bytes)


def declare_super_stream(url: str, name: str, partitions: int, max_bytes: int) -> None:
    """Declare a super stream, a direct exchange in front of the streams `<name>-0`, `<name>-1` and so on.

    Each partition is bounded to `max_bytes`. What is there already stays as it was declared: a super stream with
    another number of partitions, and a stream or a queue of that name, which is said in the log. One that a crash left
    half made is completed. Raises BrokerUnavailable.
    """
    # Its bindings can't be seen over AMQP, so an exchange says that the super stream is being made.
    unfinished = f"{name}.unfinished"
    with blocking_connection(url) as connection:
        if not _missing(connection, name):
            logger.warning("%s is a stream or a queue already, and no super stream: it is left as it is", name)
            return
        if not _missing_exchange(connection, name) and _missing_exchange(connection, unfinished):
            return
        channel = connection.channel()
        channel.exchange_declare(unfinished, exchange_type="fanout", durable=True)
        channel.exchange_declare(name, exchange_type="direct", durable=True, arguments={"x-super-stream": True})
        for number in range(partitions):
            partition = f"{name}-{number}"
            _declare_stream(connection, partition, max_bytes)
            channel.queue_bind(partition, name, str(number), arguments={"x-stream-partition-order": number})
        channel.exchange_delete(unfinished)


def declare_input_stream(url: str, name: str, max_bytes: int) -> None:
    """Declare a stream that others publish to, and its entrance; raises BrokerUnavailable."""
    with blocking_connection(url) as connection:
        is_new = _declare_stream(connection, name, max_bytes)
        _declare_entrance(connection, name, is_new=is_new)


def declare_reply_queue(url: str, name: str) -> None:
    """Declare a queue for one client's replies, deleted once unused for ten minutes; raises BrokerUnavailable."""
    with blocking_connection(url) as connection:
        connection.channel().queue_declare(name, durable=True, arguments={"x-expires": 600_000})


def dead_letter_queue(name: str) -> str:
    """Return the name of the queue that gets what a queue rejects."""
    return f"{name}.rejected"


def declare_queue(url: str, name: str) -> None:
    """Declare a quorum queue that is not there yet, and its entrance; what it rejects goes to `<name>.rejected`.

    Raises BrokerUnavailable.
    """
    exchange = f"{name}.dead-letter"
    arguments = {"x-queue-type": "quorum"}
    with blocking_connection(url) as connection:
        if is_new := _missing(connection, name):
            channel = connection.channel()
            channel.exchange_declare(exchange, exchange_type="fanout", durable=True)
            channel.queue_declare(dead_letter_queue(name), durable=True, arguments=arguments)
            channel.queue_bind(dead_letter_queue(name), exchange)
            channel.queue_declare(name, durable=True, arguments={**arguments, "x-dead-letter-exchange": exchange})
        _declare_entrance(connection, name, is_new=is_new)


def _declare_entrance(connection: pika.BlockingConnection, name: str, *, is_new: bool) -> None:
    """Declare an exchange that is named like a stream or queue, and leads to it, for who may publish to that alone.

    Over AMQP there is no other right to publish to one queue: who may use the default exchange may publish to all. An
    exchange of that name that somebody else declared stays as it is; that, and a broker that refuses the right to
    declare one, is said in the log. is_new: the stream or queue has just been declared, so nothing leads to it yet.
    """
    if not is_new and not _missing_exchange(connection, name):
        return
    channel = connection.channel()
    try:
        channel.exchange_declare(name, exchange_type="fanout", durable=True)
        channel.queue_bind(name, name)
    except ChannelClosedByBroker as error:
        if error.reply_code not in (403, 406):
            raise
        logger.warning("%s can't be reached by an exchange of its name: %s", name, error.reply_text)


def _declare_stream(connection: pika.BlockingConnection, name: str, max_bytes: int) -> bool:
    """Declare a stream where it is missing; return whether it was."""
    if is_new := _missing(connection, name):
        arguments = {
            "x-queue-type": "stream",
            "x-max-length-bytes": max_bytes,
            # Only whole segments are dropped, so a small bound needs small segments.
            "x-stream-max-segment-size-bytes": max(min(max_bytes // 4, 500_000_000), 1_000_000),
        }
        connection.channel().queue_declare(name, durable=True, arguments=arguments)
        logger.info("there was no stream %s: it is declared", name)
    return is_new


def _missing(connection: pika.BlockingConnection, name: str) -> bool:
    """Return whether there is no such queue; what is there stays as somebody declared it, whatever its arguments."""
    return _not_found(lambda channel: channel.queue_declare(name, passive=True), connection)


def _missing_exchange(connection: pika.BlockingConnection, name: str) -> bool:
    """Return whether there is no such exchange."""
    return _not_found(lambda channel: channel.exchange_declare(name, passive=True), connection)


def _not_found(look: Callable[[BlockingChannel], object], connection: pika.BlockingConnection) -> bool:
    """Return whether the broker says so to `look`, on a channel of its own, which that would close."""
    try:
        look(connection.channel())
    except ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return True
    return False
