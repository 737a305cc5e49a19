"""What the bridge does with every batch: part the good messages from the bad ones, use these, park those."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from bridge.functions import Function
from bridge.rejected import Bad, BadMessage, park
from messages.ports import Message, Outgoing, Publisher
from process.retry import Retry
from records import Records

Content = TypeVar("Content")


@dataclass(frozen=True)
class BatchHandler(Generic[Content]):
    """Handles batches, for a Pipeline; a kind of message is a subclass.

    on_done is told an outcome, `outcome` or "rejected", and of how many messages.
    """

    outcome: ClassVar[str]

    function: Function
    records: Records
    publisher: Publisher
    retry: Retry
    on_done: Callable[[str, int], None] = lambda outcome, count: None

    @abstractmethod
    def parse(self, message: Message) -> Content:
        """Return what is in a message; raises BadMessage."""

    @abstractmethod
    def use(self, good: Sequence[tuple[Message, Content]]) -> tuple[list[Bad], list[Outgoing]]:
        """Do what the messages ask for; returns those that turn out to be bad, and the answers to the others.

        Raises Abandoned.
        """

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        """Handle a batch; returns the positions of the bad messages; raises Abandoned."""
        good: list[tuple[Message, Content]] = []
        bad: list[Bad] = []
        for message in messages:
            try:
                good.append((message, self.parse(message)))
            except BadMessage as error:
                bad.append((message, str(error)))
        refused, answers = self.use(good) if good else ([], [])
        bad += refused
        park(bad, self.records, self.publisher, self.retry, also=answers)
        self.on_done(self.outcome, len(messages) - len(bad))
        self.on_done("rejected", len(bad))
        return frozenset(message.position for message, _ in bad)
