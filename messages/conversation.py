"""Questions for whoever reads an input stream, and the answers that come back to a queue of one's own."""

import uuid
from contextlib import ExitStack, closing, suppress

from contracts.codec import Malformed, Reader
from contracts.names import REJECTED
from contracts.stream import Rejected, ReviewAnswer, read_answer, read_rejected
from messages.ports import Epoch, Message, Outgoing, Position, Progress
from messages.publisher import AmqpPublisher
from messages.queue_source import QueueSource
from messages.stream_client import partitions
from messages.stream_source import StreamSource
from messages.topology import declare_reply_queue

BATCH_MESSAGES = 500
READ_TIMEOUT_SECONDS = 0.1


class Conversation:
    """Sends questions, and gives the answers as they come, by the numbers of the questions; for one thread.

    Each of its methods may raise BrokerUnavailable. Then it is opened again, and goes on: what was not confirmed is
    sent again, its queue has kept the replies, and the stream what was rejected meanwhile. Each question is answered
    once.
    """

    def __init__(self, amqp_url: str, stream_url: str, name: str, *, is_stream: bool = True) -> None:
        """Ask those who read the stream, super stream or queue `name`."""
        self._run = uuid.uuid4().hex
        self._queue = f"client-{self._run}"
        self._name = name
        self._routes = 0 if is_stream else 1
        self._amqp_url = amqp_url
        self._stream_url = stream_url
        self._unsent: list[Outgoing] = []
        self._waiting: dict[str | None, int] = {}
        self._read_until = _ReadUntil()
        self._sources = ExitStack()
        self._publisher = AmqpPublisher(amqp_url)
        self._opened = False
        self._arrived: list[tuple[int, ReviewAnswer | Rejected]] = []

    def open(self) -> None:
        """Connect, or connect anew."""
        self._sources.close()
        self._routes = self._routes or len(partitions(self._stream_url, self._name))
        declare_reply_queue(self._amqp_url, self._queue)
        self._replies = QueueSource(self._amqp_url, self._queue, prefetch=BATCH_MESSAGES)
        # It must stand at the end of the stream before the first text is sent.
        self._rejected = StreamSource(self._stream_url, REJECTED, from_end=not self._opened)
        for source in (self._replies, self._rejected):
            self._sources.enter_context(closing(source)).open(self._read_until)
        self._opened = True

    @property
    def waiting(self) -> int:
        """How many questions have no answer yet."""
        return len(self._waiting)

    def add(self, number: int, body: bytes, content_type: str, *, persistent: bool = False) -> None:
        """Have a question sent by the next `send`; persistent: its answer is to survive a restart of the broker."""
        question = Outgoing(
            to=str(number % self._routes),
            body=body,
            correlation_id=f"{self._run}:{number}",
            message_id=str(number),
            reply_to=self._queue,
            content_type=content_type,
            persistent=persistent,
            exchange=self._name,
        )
        self._unsent.append(question)
        self._waiting[question.correlation_id] = number

    def send(self) -> None:
        """Publish what was added, and return once the broker has confirmed it."""
        self._publisher.publish(self._unsent)

    def receive(self) -> list[tuple[int, ReviewAnswer | Rejected]]:
        """Return answers that have come, or do in a moment; of a question that could not be used, why.

        What is no answer and no notice is left out: anybody may write to both.
        """
        replies = self._replies.read(BATCH_MESSAGES, READ_TIMEOUT_SECONDS)
        self._replies.finish([message.position for message in replies], frozenset())
        for reply in replies:
            self._note(reply, read_answer)
        # Nobody waits for what is refused, while there are replies.
        for notice in self._rejected.read(BATCH_MESSAGES, 0 if replies else READ_TIMEOUT_SECONDS):
            self._read_until.position = notice.stands_at
            self._note(notice, read_rejected)
        # Kept until here: after an error the next call returns them.
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        """Close the connections; the queue of replies goes by itself."""
        self._sources.close()
        self._publisher.close()

    def _note(self, message: Message, read: Reader[ReviewAnswer] | Reader[Rejected]) -> None:
        with suppress(Malformed):
            answer = read(message.body)
            if (number := self._waiting.pop(message.correlation_id, None)) is not None:
                self._arrived.append((number, answer))


class _ReadUntil(Progress):
    """How far `rejected` has been read, as long as this process lives."""

    position: Position | None = None

    def take(self) -> Position | None:
        return self.position

    def begin(self, first_offset: int, began_at: int) -> Epoch:  # noqa: ARG002 - a port's
        return Epoch(began_at, REJECTED)

    def missed(self, first: int, after: int) -> None:
        """Whoever waits for an answer that was there will wait in vain, and says so."""
