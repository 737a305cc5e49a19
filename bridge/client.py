"""Sends texts to the stream `reviews` and prints the answers as they come, a JSON object a line.

An answer's id is the text's own, or its number, counted from 0. Without RABBITMQ_URL the local stack of the folder it
is called in is asked.

python -m bridge.client "I love you" "What a bore"
python -m bridge.client --file reviews.jsonl
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

from tqdm import tqdm

from bridge.settings import Settings, StreamInput
from contracts.codec import Malformed, encode
from contracts.names import REJECTED
from contracts.stream import read_answer, read_rejected
from messages.ports import BrokerUnavailable, Outgoing, Source
from messages.publisher import AmqpPublisher
from messages.queue_source import QueueSource
from messages.stream_client import partitions
from messages.stream_source import StreamSource
from messages.topology import declare_reply_queue
from process.local import ADDRESSES, local_addresses
from process.settings import SettingsError
from process.tls import trust_authorities

BATCH_MESSAGES = 500
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
    lines = filter(None, (line.rstrip(b"\r\n") for line in parsed.file or []))
    questions = [(text.encode(), "text/plain") for text in parsed.text]
    questions += [(line, "application/json" if line.startswith(b"{") else "text/plain") for line in lines]
    if not os.environ.get("RABBITMQ_URL"):
        own = local_addresses()
        os.environ.update({name: own[name] for name in own if name.startswith("RABBITMQ_")})
    try:
        trust_authorities()
        return _ask(Settings(), questions, parsed.timeout_seconds)
    except (BrokerUnavailable, SettingsError) as error:
        print(f"{error}\nIs RABBITMQ_URL right? The local stack's is in {ADDRESSES}.", file=sys.stderr)  # noqa: T201
        return 1


def _ask(settings: Settings, questions: Sequence[tuple[bytes, str]], timeout_seconds: float) -> int:
    """Publish the questions, bodies with their content type, and print an answer for each."""
    run = uuid.uuid4().hex
    reply_to = f"client-{run}"
    url = settings.rabbitmq_url
    settings.declare()
    name, routes = settings.reviews.name, 1
    if isinstance(settings.reviews, StreamInput):
        routes = len(partitions(settings.rabbitmq_stream_url, name))
    declare_reply_queue(url, reply_to)
    outgoing = [
        Outgoing(str(number % routes), body, f"{run}:{number}", str(number), reply_to, content_type, exchange=name)
        for number, (body, content_type) in enumerate(questions)
    ]
    waiting = {message.correlation_id for message in outgoing}
    with (
        closing(QueueSource(url, reply_to, prefetch=BATCH_MESSAGES)) as replies,
        closing(StreamSource(settings.rabbitmq_stream_url, REJECTED, from_end=True)) as rejected,
        closing(AmqpPublisher(url)) as publisher,
        tqdm(total=len(questions), unit=" texts", disable=None if len(questions) > 1 else True) as bar,
    ):
        replies.open()
        rejected.open()  # It must stand at the end of the stream before the first text is sent.
        for first in range(0, len(outgoing), BATCH_MESSAGES):
            publisher.publish(outgoing[first : first + BATCH_MESSAGES])
        deadline = time.monotonic() + timeout_seconds
        while waiting and time.monotonic() < deadline:
            for correlation_id, answer in _answers(replies, rejected):
                if correlation_id in waiting:
                    waiting.remove(correlation_id)
                    # As bytes: an id may have what this terminal's encoding has not.
                    sys.stdout.buffer.write(answer + b"\n")
                    sys.stdout.buffer.flush()
                    bar.update()
                    deadline = time.monotonic() + timeout_seconds
    if waiting:
        sys.stderr.write(f"{len(waiting)} texts got no answer in {timeout_seconds:g} s: is the bridge running?\n")
        return 1
    return 0


def _answers(replies: Source, rejected: Source) -> Iterator[tuple[str | None, bytes]]:
    """Yield correlation ids and answers, those of `rejected` made of its notices.

    What is no answer and no notice is left out: anybody may write to both.
    """
    messages = replies.read(BATCH_MESSAGES, READ_TIMEOUT_SECONDS)
    replies.finish([message.position for message in messages], frozenset())
    for message in messages:
        with suppress(Malformed):
            yield message.correlation_id, encode(read_answer(message.body))
    for message in rejected.read(BATCH_MESSAGES, READ_TIMEOUT_SECONDS):
        with suppress(Malformed):
            notice = read_rejected(message.body)
            answer = {"id": notice.message_id, "error": notice.reason, "offset": notice.offset}
            yield message.correlation_id, encode(answer)


if __name__ == "__main__":
    sys.exit(main())
