"""Texts by the stream `reviews`: sent once the broker has confirmed them, answered once, whatever crashes meanwhile."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import islice
from typing import TypeVar

from client.addresses import Addresses
from client.batches import item
from client.errors import SentimentError, Unavailable
from contracts.codec import encode, extended
from contracts.predict import Answer
from contracts.stream import Rejected, ReviewAnswer, ReviewMessage
from messages.conversation import BATCH_MESSAGES, Conversation
from messages.ports import BrokerUnavailable
from messages.settings import amqp_url, stream_url
from messages.stream_address import stream_url_of
from process.answers import JSON
from process.retry import Abandoned, Retry
from process.settings import SettingsError

T = TypeVar("T")

MOST_WAITING = 5_000


def stream(
    addresses: Addresses, texts: Iterable[str], *, name: str, explain: bool, answer_seconds: float, retry: Retry
) -> Generator[tuple[int, Answer], None, None]:
    """Yield the number of a text, counted from 0, and its answer, as they come; see `Sentiment.stream`."""
    conversation = Conversation(*broker_urls(addresses), name)
    broken = True

    def connected(operation: Callable[[], T]) -> T:
        """Return what an operation returns, on new connections where it lost them; raises Unavailable."""

        def attempt() -> T:
            nonlocal broken
            if broken:
                conversation.open()
            broken = True
            found = operation()
            broken = False
            return found

        try:
            return retry(attempt, BrokerUnavailable)
        except Abandoned as abandoned:
            raise Unavailable(str(abandoned.__cause__)) from abandoned.__cause__

    numbered = enumerate(texts)
    heard_at = time.monotonic()
    with closing(conversation):
        connected(lambda: None)
        while True:
            added = 0
            if conversation.waiting <= MOST_WAITING - BATCH_MESSAGES:
                for number, text in islice(numbered, BATCH_MESSAGES):
                    added += 1
                    checked, _ = item(text, explain=explain)
                    if isinstance(checked, Answer):
                        yield number, checked
                        continue
                    body = encode(ReviewMessage(text, number, explain))
                    conversation.add(number, body, JSON, persistent=True)
                connected(conversation.send)
            if not added and not conversation.waiting:
                return
            if added:
                heard_at = time.monotonic()
            for number, found in connected(conversation.receive):
                heard_at = time.monotonic()
                yield number, _answer(found)
            if time.monotonic() - heard_at > answer_seconds:
                raise Unavailable(
                    f"{conversation.waiting} texts got no answer in {answer_seconds:g} s: is the bridge running?"
                )


def broker_urls(addresses: Addresses) -> tuple[str, str]:
    """Return the broker's addresses by AMQP and by the stream protocol; raises SentimentError where it has none."""
    try:
        url = amqp_url(addresses.rabbitmq_url)
        if not url:
            raise SentimentError("which broker? Say rabbitmq_url, or RABBITMQ_URL; no local stack is here")
        given = addresses.rabbitmq_url and (addresses.rabbitmq_stream_url or stream_url_of(url))
        return url, stream_url(url, given)
    except SettingsError as error:
        raise SentimentError(str(error)) from error


def _answer(found: ReviewAnswer | Rejected) -> Answer:
    return Answer(error=found.reason) if isinstance(found, Rejected) else extended(found, Answer, error=None)
