"""Sends texts to the stream `reviews` and prints the answers as they come, a JSON object a line.

An answer's id is the text's own, or its number, counted from 0.

python -m bridge.client "I love you" "What a bore"
python -m bridge.client --file reviews.jsonl
"""

import argparse
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice

import orjson
from tqdm import tqdm

from bridge.broker import BrokerUnavailable, Message, Outgoing
from bridge.rabbitmq import RabbitMQPublisher, RabbitMQSource
from bridge.reviews import REJECTED
from bridge.settings import Settings
from bridge.topology import declare, declare_reply_queue
from model_store.environment import SettingsError

BATCH_MESSAGES = 500
REPLY_QUEUE_EXPIRES_SECONDS = 600
READ_TIMEOUT_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; returns its exit code, 1 where an answer is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bridge.client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="*", help="texts to score")
    parser.add_argument("--file", type=argparse.FileType("rb"), help="more of them: a JSON object, or a text, a line")
    parser.add_argument(
        "--timeout-seconds", type=float, default=30, help="give up after so long without any answer (default 30)"
    )
    parsed = parser.parse_args(arguments)
    if not parsed.text and not parsed.file:
        parser.error("give a text, or --file")
    lines = (line.rstrip(b"\r\n") for line in parsed.file or [])
    bodies = [*(text.encode() for text in parsed.text), *(line for line in lines if line)]
    try:
        return _ask(Settings.from_environment(), bodies, len(parsed.text), parsed.timeout_seconds)
    except (BrokerUnavailable, SettingsError) as error:
        print(f"{error}\nIs RABBITMQ_URL right? The local stack's is in .local/env.", file=sys.stderr)  # noqa: T201
        return 1


def _ask(settings: Settings, bodies: Sequence[bytes], plain: int, timeout_seconds: float) -> int:
    """Publish the bodies, of which the first `plain` are plain text, and print an answer each."""
    run = uuid.uuid4().hex
    reply_to = f"client-{run}"
    declare(settings)
    declare_reply_queue(settings.rabbitmq_url, reply_to, REPLY_QUEUE_EXPIRES_SECONDS)
    # The reader of `rejected` must stand at its end before the first text is sent.
    replies = RabbitMQSource(settings.rabbitmq_url, reply_to, stream=False, prefetch=BATCH_MESSAGES)
    rejected = RabbitMQSource(settings.rabbitmq_url, REJECTED, stream=True, prefetch=BATCH_MESSAGES, start="next")
    publisher = RabbitMQPublisher(settings.rabbitmq_url)
    outgoing = (
        Outgoing(
            settings.source,
            body,
            f"{run}:{number}",
            str(number),
            reply_to,
            "text/plain" if number < plain or not body.startswith(b"{") else "application/json",
        )
        for number, body in enumerate(bodies)
    )
    waiting = {f"{run}:{number}" for number in range(len(bodies))}
    try:
        for source in (replies, rejected):
            source.open(None)
        with tqdm(total=len(bodies), unit=" texts", disable=None if len(bodies) > 1 else True) as bar:
            while batch := list(islice(outgoing, BATCH_MESSAGES)):
                publisher.publish(batch)
            deadline = time.monotonic() + timeout_seconds
            while waiting and time.monotonic() < deadline:
                for message in _answers(replies, rejected):
                    if message.correlation_id in waiting:
                        waiting.discard(message.correlation_id)
                        sys.stdout.write(message.body.decode() + "\n")
                        sys.stdout.flush()
                        bar.update()
                        deadline = time.monotonic() + timeout_seconds
    finally:
        for part in (replies, rejected, publisher):
            part.close()
    if waiting:
        sys.stderr.write(f"{len(waiting)} texts got no answer in {timeout_seconds:g} s: is the bridge running?\n")
        return 1
    return 0


def _answers(replies: RabbitMQSource, rejected: RabbitMQSource) -> Iterator[Message]:
    for source in (replies, rejected):
        messages = source.read(BATCH_MESSAGES, READ_TIMEOUT_SECONDS)
        source.finish(messages, frozenset())
        for message in messages:
            yield message if source is replies else _as_error(message)


def _as_error(message: Message) -> Message:
    """Return a notice of the stream `rejected` in the form of an answer."""
    notice = orjson.loads(message.body)
    body = orjson.dumps({"id": notice["message_id"], "error": notice["reason"], "offset": notice["offset"]})
    return Message(message.position, message.key, body, correlation_id=message.correlation_id)


if __name__ == "__main__":
    sys.exit(main())
