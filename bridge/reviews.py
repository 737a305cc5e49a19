"""What the bridge does with a batch of reviews: score, record, reply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.broker import BrokerUnavailable, Message, Outgoing, Publisher
from bridge.invoke import Function, FunctionUnavailable, predict
from bridge.retry import Retry
from records import Records, RecordsUnavailable, now

MAX_TEXT_CHARACTERS = 100_000
# How much of a bad message is parked; the whole is still in the source stream, at its offset.
PARKED_CHARACTERS = 10_000
PREDICTIONS = "predictions"
REJECTED = "rejected"


class BadMessage(Exception):
    """A message that can never be scored; says why."""


@dataclass(frozen=True, slots=True)
class Review:
    """A text to be scored, and the id that its sender gave it."""

    text: str
    id: str | int


def parse(message: Message) -> Review:
    """Read a message: a JSON object with `text` and maybe `id`, or plain text; raises BadMessage.

    Plain text is a body that does not begin with `{`, or one whose content_type is text/plain.
    """
    default_id = message.message_id or message.key
    if message.content_type != "text/plain" and (
        message.body.lstrip()[:1] == b"{" or message.content_type == "application/json"
    ):
        value = parse_object(message.body)
        text = value.get("text")
        if not isinstance(text, str):
            raise BadMessage("no text: the JSON object needs a string in `text`")
        identifier = value.get("id", default_id)
        if not isinstance(identifier, str | int):
            raise BadMessage("id must be a string or a whole number")
        review = Review(text, identifier)
    else:
        try:
            review = Review(message.body.decode(), default_id)
        except UnicodeDecodeError as error:
            raise BadMessage(f"not UTF-8: {error.reason} at byte {error.start}") from error
        if not review.text.strip():
            raise BadMessage("no text: the body is empty")
    if len(review.text) > MAX_TEXT_CHARACTERS:
        raise BadMessage(f"too long: {len(review.text)} characters, at most {MAX_TEXT_CHARACTERS} are allowed")
    return review


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object; raises BadMessage."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            body.decode()
        except UnicodeDecodeError as unicode_error:
            raise BadMessage(f"not UTF-8: {unicode_error.reason} at byte {unicode_error.start}") from error
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadMessage("not a JSON object")
    return value


class ReviewHandler:
    """Handles batches of reviews, for a Pipeline: invoke, write records, publish replies with confirms."""

    def __init__(
        self,
        function: Function,
        records: Records,
        publisher: Publisher,
        retry: Retry,
        *,
        has_offsets: bool = True,
        on_done: Callable[[str, int], None] = lambda outcome, count: None,
    ) -> None:
        """has_offsets: whether positions are offsets worth telling; on_done is told how many were scored, rejected."""
        self._function = function
        self._records = records
        self._publisher = publisher
        self._retry = retry
        self._has_offsets = has_offsets
        self._on_done = on_done

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        """Handle a batch; returns the positions of the bad messages; raises bridge.retry.Abandoned."""
        received_at = now()
        good: list[tuple[Message, Review]] = []
        bad: list[tuple[Message, str]] = []
        for message in messages:
            try:
                good.append((message, parse(message)))
            except BadMessage as error:
                bad.append((message, str(error)))
        documents, replies = [], []
        if good:
            answers, model = self._retry(
                lambda: predict(self._function, [review.text for _, review in good]), FunctionUnavailable
            )
            scored_at = now()
            for (message, review), answer in zip(good, answers, strict=True):
                if "error" in answer:
                    bad.append((message, answer["error"]))
                    continue
                documents.append(
                    {
                        "_id": message.key,
                        "text": review.text,
                        **answer,
                        "model": model,
                        "source": "stream",
                        "received_at": received_at,
                        "scored_at": scored_at,
                        "synthetic": False,
                    }
                )
                offset = message.position if self._has_offsets else None
                body = orjson.dumps({"id": review.id, **answer, "model": model, "offset": offset})
                replies.append(Outgoing(PREDICTIONS, body, message.correlation_id))
                if message.reply_to:
                    reply = Outgoing(message.reply_to, body, message.correlation_id, persistent=message.persistent)
                    replies.append(reply)
        self._retry(lambda: self._records.write_predictions(documents), RecordsUnavailable)
        park(bad, self._records, self._publisher, self._retry, also=replies)
        self._on_done("scored", len(documents))
        self._on_done("rejected", len(bad))
        return frozenset(message.position for message, _ in bad)


def park(
    bad: Sequence[tuple[Message, str]],
    records: Records,
    publisher: Publisher,
    retry: Retry,
    also: Sequence[Outgoing] = (),
) -> None:
    """Put bad messages and their reasons into the records and the stream `rejected`; publish `also` with them."""
    parked = [
        {
            "reason": reason,
            "body": message.body.decode(errors="replace")[:PARKED_CHARACTERS],
            "size_bytes": len(message.body),
            "offset": message.position,
            "message_id": message.message_id,
            "correlation_id": message.correlation_id,
        }
        for message, reason in bad
    ]
    received_at = now()
    retry(
        lambda: records.write_rejected(
            [
                {"_id": message.key, **document, "received_at": received_at}
                for (message, _), document in zip(bad, parked, strict=True)
            ]
        ),
        RecordsUnavailable,
    )
    notices = [
        Outgoing(REJECTED, orjson.dumps({"id": message.key, **document}), message.correlation_id)
        for (message, _), document in zip(bad, parked, strict=True)
    ]
    retry(lambda: publisher.publish([*notices, *also]), BrokerUnavailable)
