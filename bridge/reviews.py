"""What the bridge does with a batch of reviews: score, record, reply."""

from collections.abc import Callable

from msgspec import UNSET, Struct

from bridge.functions import Function, FunctionUnavailable, predict
from bridge.rejected import park, part
from contracts.codec import Malformed, encode
from contracts.limits import TextTooLong, within_limit
from contracts.names import PREDICTIONS
from contracts.records import PredictionRecord
from contracts.stream import ReviewAnswer, read_review
from messages.ports import Message, Outgoing, Publisher
from process.retry import Retry
from records import Records, RecordsUnavailable, now

EXPECTED = '{"text": "...", "id": a string or a whole number, or left out}, or the text itself'


class Review(Struct, frozen=True):
    """A text to be scored, and the id that its answer gets."""

    text: str
    id: str | int


def parse(message: Message) -> Review:
    """Read a message: a JSON object with `text` and maybe `id`, or plain text; raises Malformed.

    Plain text is a body that does not begin with `{`, or one whose content_type is text/plain.
    """
    identifier: str | int = message.message_id or message.key
    if message.content_type != "text/plain" and (
        message.body.lstrip()[:1] == b"{" or message.content_type == "application/json"
    ):
        try:
            found = read_review(message.body)
        except Malformed as error:
            raise Malformed(f"{error}; send {EXPECTED}") from error
        text = found.text
        if found.id is not UNSET:
            identifier = found.id
    else:
        try:
            text = message.body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"not UTF-8: {error.reason} at byte {error.start}") from error
        if not text.strip():
            raise Malformed("no text: the body is empty")
    try:
        return Review(within_limit(text), identifier)
    except TextTooLong as error:
        raise Malformed(f"too long: the text {error}") from error


class ReviewHandler:
    """Handles batches of reviews, for a Pipeline: invoke, write records, publish replies with confirms."""

    def __init__(
        self,
        function: Function,
        records: Records,
        publisher: Publisher,
        retry: Retry,
        *,
        on_done: Callable[[str, int], None] = lambda outcome, count: None,
    ) -> None:
        """on_done is told how many were scored, and how many rejected."""
        self._function = function
        self._records = records
        self._publisher = publisher
        self._retry = retry
        self._on_done = on_done

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        """Handle a batch; returns the positions of the bad messages; raises Abandoned."""
        received_at = now()
        good, bad = part(messages, parse)
        scored: list[PredictionRecord] = []
        replies: list[Outgoing] = []
        if good:
            texts = [review.text for _, review in good]
            answer = self._retry(lambda: predict(self._function, texts), FunctionUnavailable)
            model = answer.model
            scored_at = now()
            for (message, review), score in zip(good, answer.predictions, strict=True):
                if score.error is not None:
                    bad.append((message, score.error))
                    continue
                scored.append(
                    PredictionRecord(
                        id=message.key,
                        text=review.text,
                        prediction=score.prediction,
                        probability=score.probability,
                        model=model,
                        source="stream",
                        received_at=received_at,
                        scored_at=scored_at,
                    )
                )
                body = encode(ReviewAnswer(review.id, score.prediction, score.probability, model, message.offset))
                replies.append(Outgoing(PREDICTIONS, body, message.correlation_id))
                if message.reply_to:
                    reply = Outgoing(message.reply_to, body, message.correlation_id, persistent=message.persistent)
                    replies.append(reply)
        self._retry(lambda: self._records.write_predictions(scored), RecordsUnavailable)
        park(bad, self._records, self._publisher, self._retry, also=replies)
        self._on_done("scored", len(scored))
        self._on_done("rejected", len(bad))
        return frozenset(message.position for message, _ in bad)
