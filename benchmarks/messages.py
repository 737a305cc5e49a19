"""What a message costs: reading an entry of a stream, writing one, writing frames of AMQP 0.9.1, and publishing.

    python -m benchmarks.messages [--url amqp://...]

Publishes to a classic queue, of a private node where no URL is given. Prints two tables in Markdown; the peers in the
first are rstream and pika.
"""

import argparse
import secrets
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pika
from pika import frame, spec
from rstream import AMQPMessage, Properties, amqp_decoder

from deploy import ports, servers
from messages.amqp import parameters
from messages.amqp10 import decode, encode
from messages.frames import frames
from messages.ports import Outgoing
from messages.publisher import AmqpPublisher
from tests.running import running

MESSAGES = 20_000
BATCH = 1_000
BODY = b"x" * 200
RUNS = 3
# Short and many, so that some are left alone by what else the machine does.
CALLS, REPEATS = 500, 300
ANNOTATIONS = b"\xa3\rx-routing-key\xa1\x07reviews\xa3\nx-exchange\xa1\x00"
PROPERTIES = b"\x00Ss\xc0%\r\xa1\x01m@@@\xa1\x01r\xa1\x01c\xa3\x10application/json@@@@@@"
DATA = b"\x00Su\xa0\xc8" + BODY
BY_RSTREAM = AMQPMessage(
    body=BODY, properties=Properties(message_id="m", reply_to="r", correlation_id="c", content_type="application/json")
)
ENTRIES = {
    "RabbitMQ 3.10, no properties": b"\x00Sr\xc1'\x04" + ANNOTATIONS + DATA,
    "RabbitMQ 3.10, four properties": (
        b"\x00Sr\xc1@\x06" + ANNOTATIONS + b"\xa3\x15x-basic-delivery-modeP\x02" + PROPERTIES + DATA
    ),
    "RabbitMQ 4.0, no properties": b"\x00Sp\xc0\x06\x05B@@AC\x00Sr\xc1'\x04" + ANNOTATIONS + DATA,
    "RabbitMQ 4.0, four properties": b"\x00Sp\xc0\x06\x05A@@AC\x00Sr\xc1'\x04" + ANNOTATIONS + PROPERTIES + DATA,
    "rstream, no properties": bytes(AMQPMessage(body=BODY)),
    "rstream, four properties": bytes(BY_RSTREAM),
}


def main() -> int:
    """Run all; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    url = parser.parse_args().url
    print_codecs()
    print("\n| publishing, run | messages/s | processor time a message |\n| --- | --- | --- |")
    with ExitStack() as stack:
        url = url or private_node(stack)
        for run in range(1, RUNS + 1):
            seconds, processor_seconds = publish(url)
            print(f"| {run} | {MESSAGES / seconds:,.0f} | {processor_seconds / MESSAGES * 1e6:.1f} µs |")
    return 0


def print_codecs() -> None:
    """Print what reading and writing a message takes, and what the peer takes for the same."""
    print("| a message | here | peer |\n| --- | --- | --- |")
    for name, entry in ENTRIES.items():
        assert decode(entry).body == amqp_decoder(entry).body == BODY
        print_row(f"read an entry of {name}", partial(decode, entry), partial(amqp_decoder, entry))
    answer = AMQPMessage(body=BODY, properties=Properties(correlation_id="c", content_type="application/json"))
    print_row("write an entry", lambda: encode(BODY, "c"), lambda: bytes(answer))
    message = Outgoing("reviews", BODY, "c", "m", persistent=True)
    assert frames([message], 1, 131_072) == by_pika(message)
    print_row("write frames", lambda: frames([message], 1, 131_072), lambda: by_pika(message))


def print_row(name: str, here: Callable[[], object], peer: Callable[[], object]) -> None:
    """Print the shortest of several measurements of each."""
    cells = [
        f"{min(timeit.repeat(function, number=CALLS, repeat=REPEATS)) / CALLS * 1e6:.1f} µs"
        for function in (here, peer)
    ]
    print(f"| {name} | {' | '.join(cells)} |")


def by_pika(message: Outgoing) -> bytes:
    """Write the frames of a message whose body fits in one."""
    properties = spec.BasicProperties(
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        delivery_mode=2,
    )
    method = spec.Basic.Publish(exchange="", routing_key=message.to, mandatory=True)
    header = frame.Header(1, len(message.body), properties)
    return frame.Method(1, method).marshal() + header.marshal() + frame.Body(1, message.body).marshal()


def private_node(stack: ExitStack) -> str:
    """Start a node for the time of the stack; returns its URL."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    node = servers.rabbitmq(folder, ports.free_port, secrets.token_hex(4), secrets.token_hex(16))
    stack.enter_context(running(node))
    return node.variables["RABBITMQ_URL"]


def publish(url: str) -> tuple[float, float]:
    """Publish to a queue of its own; returns the time it took, and the processor time of this process."""
    queue = f"benchmark-{secrets.token_hex(6)}"
    messages = [
        Outgoing(queue, BODY, f"correlation-{number}", f"message-{number}", persistent=True)
        for number in range(MESSAGES)
    ]
    with pika.BlockingConnection(parameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        publisher = AmqpPublisher(url)
        publisher.publish(messages[:1])  # it connects
        started, processor_started = time.perf_counter(), time.process_time()
        for first in range(0, MESSAGES, BATCH):
            publisher.publish(messages[first : first + BATCH])
        seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
        publisher.close()
        assert channel.queue_declare(queue, passive=True).method.message_count == MESSAGES + 1
        channel.queue_delete(queue)
    return seconds, processor_seconds


if __name__ == "__main__":
    sys.exit(main())
