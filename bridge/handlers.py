"""What the bridge does with a batch: part the good messages from the bad ones, use these, park those.

Bad messages are parked in the records and in the stream `rejected`, with the reason, so that they never block the rest.
So is a message at which the bridge itself fails in a way that nobody foresaw: a bug costs one answer, not the stream.
Reviews are scored, recorded and answered; labels are handed to retrain, which stores them before it answers.
"""

import hashlib
import logging
import traceback
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic, NamedTuple, TypeVar

from msgspec import UNSET, Struct
from prometheus_client import Counter

from bridge.functions import predict
from bridge.pipeline import Handled
from contracts.codec import Malformed, encode, extended
from contracts.limits import MAX_PARKED_CHARACTERS, MAX_REASON_CHARACTERS, TextTooLong, within_limit
from contracts.names import REJECTED, parse_label
from contracts.predict import Answer
from contracts.records import PredictionRecord, RejectedRecord
from contracts.retrain import LabelExample, LabelsRequest, read_label_example, read_labels_taken
from contracts.stream import Rejected, ReviewAnswer, read_review
from messages.ports import Appended, Appender, BrokerUnavailable, Message, Outgoing, Place, Publisher
from process import tracing
from process.functions import Function, FunctionUnavailable, RequestRefused
from process.halves import by_halves
from process.retry import Abandoned, Retry
from records import Records, RecordsUnavailable, now

logger = logging.getLogger(__name__)
Content = TypeVar("Content")
NOT_EXPLAINED = Answer()
MAX_NAME_BYTES = 255  # of a publisher, for the broker
MESSAGES = Counter("bridge_messages", "Messages done with, by source and outcome", ["source", "outcome"])
BUGS = Counter("bridge_bugs", "Messages parked because the bridge itself failed at them, by source", ["source"])


class BadMessage(Exception):
    """A message can never be used; says why."""


class Bug(Exception):
    """Something failed in a way that nobody foresaw; its cause is what did."""


class Used(NamedTuple):
    """What came of messages: those that turn out to be bad, replies, and what is concluded with, in order."""

    bad: Sequence[Rejected] = ()
    replies: Sequence[Outgoing] = ()
    answers: Sequence[Appended] = ()


@dataclass(frozen=True)
class BatchHandler(Generic[Content]):
    """Handles batches of the stream or queue `source`, for a Pipeline; a kind of message is a subclass.

    outcome: what metrics call a message that was used.
    expected: what a body should be, in words for the sender of another one.
    """

    outcome: ClassVar[str]
    expected: ClassVar[str]

    source: str
    function: Function
    records: Records
    publisher: Publisher
    retry: Retry

    @abstractmethod
    def parse(self, message: Message) -> Content:
        """Return what is in a message; raises BadMessage, Malformed or TextTooLong."""

    @abstractmethod
    def use(self, good: Sequence[tuple[Message, Content]]) -> Used:
        """Do what the messages ask for; raises Abandoned."""

    def conclude(self, place: Place | None, answers: Sequence[Appended]) -> None:
        """Do what is to be done in the order of batches; `place` is that of this one. Raises Abandoned."""

    def __call__(self, messages: list[Message]) -> Handled:
        """Handle a batch, at a bug in halves down to the one message, which is parked. Raises Abandoned.

        A bug in parking is raised as it is: the batch is not done then, and nothing of it lost. What a half repeats
        does no harm: its records are there already, and it is answered by them.
        """
        links = [message.traceparent for message in messages if message.traceparent]
        with tracing.span(f"process {self.source}", "consumer", links=links):
            parts = [
                self._park_at_bug(part[0], outcome) if isinstance(outcome, Bug) else outcome
                for part, outcome in by_halves(messages, self._handle_or_bug, Bug)
            ]

        def conclude() -> None:
            for part in parts:
                part.conclude()

        return Handled(frozenset().union(*(part.rejected for part in parts)), conclude)

    def _handle_or_bug(self, messages: Sequence[Message]) -> Handled:
        try:
            return self._handle(messages)
        except Abandoned:
            raise
        except Exception as error:  # the bug barrier: the one place that catches what nobody foresaw
            raise Bug from error

    def _park_at_bug(self, message: Message, bug: Bug) -> Handled:
        error = bug.__cause__ or bug
        logger.error("%s: a bug at %s, which is parked in %s", self.source, message.key, REJECTED, exc_info=error)
        BUGS.labels(self.source).inc()
        self._park([rejected(message, f"a bug of the bridge: {traceback.format_exception_only(error)[-1].strip()}")])
        MESSAGES.labels(self.source, "rejected").inc()
        return Handled(frozenset({message.position}), lambda: None)

    def _handle(self, messages: Sequence[Message]) -> Handled:
        good: list[tuple[Message, Content]] = []
        bad: list[Rejected] = []
        for message in messages:
            try:
                if message.problem:
                    raise BadMessage(message.problem)
                good.append((message, self.parse(message)))
            except BadMessage as error:
                bad.append(rejected(message, str(error)))
            except Malformed as error:
                bad.append(rejected(message, f"the body {error}; send {self.expected}"))
            except TextTooLong as error:
                bad.append(rejected(message, f"the text {error}"))
        used = self.use(good) if good else Used()
        bad += used.bad
        self._park(bad)
        replies = [*used.replies]
        self.retry(lambda: self.publisher.reply(replies), BrokerUnavailable)
        MESSAGES.labels(self.source, self.outcome).inc(len(messages) - len(bad))
        MESSAGES.labels(self.source, "rejected").inc(len(bad))
        # Of what was used only the answers stay until it is this batch's turn: the rest has the messages' bodies.
        return Handled(
            frozenset(notice.offset for notice in bad), partial(self.conclude, messages[0].place, used.answers)
        )

    def _park(self, bad: Sequence[Rejected]) -> None:
        """Put notices into the records and the stream of them; raises Abandoned."""
        if bad:
            received_at = now()
            parked = [extended(notice, RejectedRecord, received_at=received_at) for notice in bad]
            self.retry(lambda: self.records.insert_rejected(parked), RecordsUnavailable)
        notices = [Outgoing(REJECTED, encode(notice), notice.correlation_id) for notice in bad]
        self.retry(lambda: self.publisher.publish(notices), BrokerUnavailable)


class Review(Struct, frozen=True):
    """A text to be scored, the id that its answer gets, and whether that is explained."""

    text: str
    id: str | int
    explain: bool = False


@dataclass(frozen=True)
class ReviewHandler(BatchHandler[Review]):
    """Handles batches of reviews: invokes predict, writes records, answers.

    predictions: where every answer is appended, once.
    """

    outcome: ClassVar[str] = "scored"
    expected: ClassVar[str] = (
        '{"text": "..."}, maybe with an "id" that is a string or a whole number, or the text itself'
    )

    predictions: Appender

    def parse(self, message: Message) -> Review:
        """Read a message: a JSON object with `text` and maybe `id`, or plain text.

        Plain text is a body that does not begin with `{`, or one whose content_type is text/plain.
        """
        identifier: str | int = message.message_id or message.key
        if message.content_type != "text/plain" and (
            message.body.lstrip()[:1] == b"{" or message.content_type == "application/json"
        ):
            found = read_review(message.body)
            text = within_limit(found.text, explain=found.explain)
            return Review(text, identifier if found.id is UNSET else found.id, found.explain)
        try:
            text = message.body.decode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"the body is not UTF-8 ({error.reason} at byte {error.start})") from error
        if not text.strip():
            raise BadMessage("the body is empty")
        return Review(within_limit(text), identifier)

    def use(self, good: Sequence[tuple[Message, Review]]) -> Used:
        """Score the texts, write their records, and answer as the records say."""
        received_at = now()
        scores = self._score([review for _, review in good])
        scored_at = now()
        bad: list[Rejected] = []
        records: list[tuple[Message, Review, Answer, PredictionRecord]] = []
        for (message, review), (score, model) in zip(good, scores, strict=True):
            if score.probability is None:
                bad.append(rejected(message, score.error or "predict gave no answer"))
                continue
            record = PredictionRecord(
                id=message.key,
                text=review.text,
                prediction=score.prediction,
                probability=score.probability,
                log_odds=score.log_odds,
                model=model,
                source="stream",
                received_at=received_at,
                scored_at=scored_at,
            )
            records.append((message, review, score, record))
        # What was answered before a crash is answered alike, whatever model was swapped in since.
        known = self.retry(lambda: self.records.insert_predictions([row[-1] for row in records]), RecordsUnavailable)
        replies: list[Outgoing] = []
        answers: list[Appended] = []
        for message, review, score, scored_now in records:
            record = known.get(message.key, scored_now) if known else scored_now
            # Another model's words would not add up to what was answered then.
            why = score if record.model == scored_now.model else NOT_EXPLAINED
            answer = ReviewAnswer(
                id=review.id,
                prediction=record.prediction,
                probability=record.probability,
                log_odds=record.log_odds,
                words=why.words,
                bias=why.bias,
                model=record.model,
                offset=message.offset,
            )
            body = encode(answer)
            correlation_id, traceparent = message.correlation_id, message.traceparent
            answers.append(Appended(message.position, body, correlation_id, traceparent))
            if message.reply_to:
                to, persistent = message.reply_to, message.persistent
                replies.append(Outgoing(to, body, correlation_id, persistent=persistent, traceparent=traceparent))
        return Used(bad, replies, answers)

    def _score(self, reviews: Sequence[Review]) -> list[tuple[Answer, str]]:
        """Return the answer to each review, and the model that gave it; raises Abandoned.

        Those to be explained are asked for by themselves, since that is asked of a whole request.
        """
        answers: dict[int, tuple[Answer, str]] = {}
        for explain in (False, True):
            places = [place for place, review in enumerate(reviews) if review.explain == explain]
            if places:
                ask = partial(predict, self.function, [reviews[place].text for place in places], explain=explain)
                found = self.retry(ask, FunctionUnavailable)
                answers |= zip(places, ((answer, found.model) for answer in found.predictions), strict=True)
        return [answers[place] for place in range(len(reviews))]

    def conclude(self, place: Place | None, answers: Sequence[Appended]) -> None:
        """Append the answers to the stream of them, where the broker drops those that it has."""
        # A name for each life of a stream, since numbers are its offsets; a queue has none, and repeats.
        name = f"{place.epoch.began_at}:{self.source}" if place else ""
        if len(name.encode()) > MAX_NAME_BYTES:
            # Cut off, the names of two partitions would be one.
            name = hashlib.sha256(name.encode()).hexdigest()
        self.retry(lambda: self.predictions.append(name, answers), BrokerUnavailable)


class LabelHandler(BatchHandler[LabelExample]):
    """Handles batches of labels. A label handed over twice counts once, so repeats do no harm."""

    outcome = "labelled"
    expected = '{"text": "...", "label": 0 or 1, "negative" or "positive"}'

    def parse(self, message: Message) -> LabelExample:
        """Read a message, a JSON object with `text` and `label`."""
        found = read_label_example(message.body)
        try:
            parse_label(found.label)
        except ValueError as error:
            raise BadMessage(str(error)) from error
        return LabelExample(within_limit(found.text), found.label, found.source or "stream", found.id)

    def use(self, good: Sequence[tuple[Message, LabelExample]]) -> Used:
        """Hand the labels over; those that retrain refuses are bad."""
        return Used(
            [
                rejected(part[0][0], str(refusal))
                for part, refusal in by_halves(good, self._hand_over, RequestRefused)
                if refusal
            ]
        )

    def _hand_over(self, labels: Sequence[tuple[Message, LabelExample]]) -> None:
        body = LabelsRequest([example for _, example in labels])
        self.retry(lambda: self.function.post(body, read_labels_taken), FunctionUnavailable)


def rejected(message: Message, reason: str) -> Rejected:
    """Return the notice that a message can't be used; of a reason that repeats the message, the beginning."""
    return Rejected(
        id=message.key,
        # An exception may quote anything, also what UTF-8 can't encode.
        reason=reason[:MAX_REASON_CHARACTERS].encode(errors="replace").decode(),
        body=message.body.decode(errors="replace")[:MAX_PARKED_CHARACTERS],
        size_bytes=len(message.body),
        offset=message.position,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
    )
