"""What publishing a message costs the process that publishes.

    python -m benchmarks.publishing [--url amqp://...]

Publishes to a classic queue, of a private node where no URL is given; prints a table in Markdown.
"""

import argparse
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pika

from deploy import ports, servers
from messages.amqp import parameters
from messages.ports import Outgoing
from messages.publisher import AmqpPublisher
from tests.running import running

MESSAGES = 20_000
BATCH = 1_000
BODY_BYTES = 200
RUNS = 3


def main() -> int:
    """Run it; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    with ExitStack() as stack:
        url = parser.parse_args().url or private_node(stack)
        print("| run | messages/s | processor time a message |\n| --- | --- | --- |")
        for run in range(1, RUNS + 1):
            seconds, processor_seconds = publish(url)
            print(f"| {run} | {MESSAGES / seconds:,.0f} | {processor_seconds / MESSAGES * 1e6:.1f} µs |")
    return 0


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
        Outgoing(queue, b"x" * BODY_BYTES, f"correlation-{number}", f"message-{number}", persistent=True)
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
