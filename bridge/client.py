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
from collections.abc import Sequence
from contextlib import closing

from tqdm import tqdm

from bridge.settings import Settings, StreamInput
from contracts.codec import encode
from contracts.stream import Rejected, ReviewAnswer
from messages.conversation import BATCH_MESSAGES, Conversation
from messages.ports import BrokerUnavailable
from process.local import ADDRESSES, local_addresses
from process.settings import SettingsError
from process.tls import trust_authorities


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
    settings.declare()
    is_stream = isinstance(settings.reviews, StreamInput)
    conversation = Conversation(
        settings.rabbitmq_url, settings.rabbitmq_stream_url, settings.reviews.name, is_stream=is_stream
    )
    with (
        closing(conversation),
        tqdm(total=len(questions), unit=" texts", disable=None if len(questions) > 1 else True) as bar,
    ):
        conversation.open()
        for number, (body, content_type) in enumerate(questions):
            conversation.add(number, body, content_type)
            if number % BATCH_MESSAGES == BATCH_MESSAGES - 1:
                conversation.send()
        conversation.send()
        deadline = time.monotonic() + timeout_seconds
        while conversation.waiting and time.monotonic() < deadline:
            for _, answer in conversation.receive():
                # As bytes: an id may have what this terminal's encoding has not.
                sys.stdout.buffer.write(encode(_shown(answer)) + b"\n")
                sys.stdout.buffer.flush()
                bar.update()
                deadline = time.monotonic() + timeout_seconds
    if conversation.waiting:
        sys.stderr.write(
            f"{conversation.waiting} texts got no answer in {timeout_seconds:g} s: is the bridge running?\n"
        )
        return 1
    return 0


def _shown(answer: ReviewAnswer | Rejected) -> object:
    if isinstance(answer, ReviewAnswer):
        return answer
    return {"id": answer.message_id, "error": answer.reason, "offset": answer.offset}


if __name__ == "__main__":
    sys.exit(main())
