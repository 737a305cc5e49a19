"""What the bridge does with reviews: score, record, reply."""

from collections.abc import Sequence

from msgspec import UNSET, Struct

from bridge.functions import FunctionUnavailable, predict
from bridge.handler import BadMessage, BatchHandler, rejected
from contracts.codec import encode
from contracts.limits import within_limit
from contracts.names import PREDICTIONS
from contracts.records import PredictionRecord
from contracts.stream import Rejected, ReviewAnswer, read_review
from messages.ports import Message, Outgoing
from records import RecordsUnavailable, now


class Review(Struct, frozen=True):
    """A text to be scored, and the id that its answer gets."""

    text: str
    id: str | int


class ReviewHandler(BatchHandler[Review]):
    """Handles batches of reviews: invokes predict, writes records, answers."""

    outcome = "scored"
    expected = '{"text": "..."}, maybe with an "id" that is a string or a whole number, or the text itself'

    def parse(self, message: Message) -> Review:
        """Read a message: a JSON object with `text` and maybe `id`, or plain text.

        Plain text is a body that does not begin with `{`, or one whose content_type is text/plain.
        """
        identifier: str | int = message.message_id or message.key
        if message.content_type != "text/plain" and (
            message.body.lstrip()[:1] == b"{" or message.content_type == "application/json"
        ):
            found = read_review(message.body)
            return Review(within_limit(found.text), identifier if found.id is UNSET else found.id)
        try:
            text = message.body.decode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"the body is not UTF-8 ({error.reason} at byte {error.start})") from error
        if not text.strip():
            raise BadMessage("the body is empty")
        return Review(within_limit(text), identifier)

    def use(self, good: Sequence[tuple[Message, Review]]) -> tuple[list[Rejected], list[Outgoing]]:
        """Score the texts and write their records; returns those without a score, and answers to the others."""
        received_at = now()
        texts = [review.text for _, review in good]
        scored = self.retry(lambda: predict(self.function, texts), FunctionUnavailable)
        model = scored.model
        scored_at = now()
        bad: list[Rejected] = []
        records: list[PredictionRecord] = []
        answers: list[Outgoing] = []
        for (message, review), score in zip(good, scored.predictions, strict=True):
            if score.error is not None:
                bad.append(rejected(message, score.error))
                continue
            records.append(
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
            answers.append(Outgoing(PREDICTIONS, body, message.correlation_id))
            if message.reply_to:
                answer = Outgoing(message.reply_to, body, message.correlation_id, persistent=message.persistent)
                answers.append(answer)
        self.retry(lambda: self.records.write_predictions(records), RecordsUnavailable)
        return bad, answers
