"""What the bridge does with every batch: part the good messages from the bad ones, use these, park those.

Bad messages are parked in the records and in the stream `rejected`, with the reason, so that they never block the rest.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from bridge.functions import Function
from bridge.metrics import MESSAGES
from contracts.codec import Malformed, encode, extended
from contracts.limits import MAX_PARKED_CHARACTERS, TextTooLong
from contracts.names import REJECTED
from contracts.records import RejectedRecord
from contracts.stream import Rejected
from messages.ports import BrokerUnavailable, Message, Outgoing, Publisher
from process.retry import Retry
from records import Records, RecordsUnavailable, now

Content = TypeVar("Content")


class BadMessage(Exception):
    """A message can never be used; says why."""


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
    def use(self, good: Sequence[tuple[Message, Content]]) -> tuple[list[Rejected], list[Outgoing]]:
        """Do what the messages ask for; returns those that turn out to be bad, and the answers to the others.

        Raises Abandoned.
        """

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        """Handle a batch; returns the positions of the bad messages; raises Abandoned."""
        good: list[tuple[Message, Content]] = []
        bad: list[Rejected] = []
        for message in messages:
            try:
                good.append((message, self.parse(message)))
            except BadMessage as error:
                bad.append(rejected(message, str(error)))
            except Malformed as error:
                bad.append(rejected(message, f"the body {error}; send {self.expected}"))
            except TextTooLong as error:
                bad.append(rejected(message, f"the text {error}"))
        refused, answers = self.use(good) if good else ([], [])
        bad += refused
        received_at = now()
        parked = [extended(notice, RejectedRecord, received_at=received_at) for notice in bad]
        self.retry(lambda: self.records.write_rejected(parked), RecordsUnavailable)
        outgoing = [Outgoing(REJECTED, encode(notice), notice.correlation_id) for notice in bad] + answers
        self.retry(lambda: self.publisher.publish(outgoing), BrokerUnavailable)
        MESSAGES.labels(self.source, self.outcome).inc(len(messages) - len(bad))
        MESSAGES.labels(self.source, "rejected").inc(len(bad))
        return frozenset(notice.offset for notice in bad)


def rejected(message: Message, reason: str) -> Rejected:
    """Return the notice that a message can't be used."""
    return Rejected(
        id=message.key,
        reason=reason,
        body=message.body.decode(errors="replace")[:MAX_PARKED_CHARACTERS],
        size_bytes=len(message.body),
        offset=message.position,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
    )
