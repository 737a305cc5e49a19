"""Publishing to RabbitMQ over AMQP, confirmed by the broker."""

from collections.abc import Callable

from messages.amqp import CONFIRM_TIMEOUT_SECONDS
from messages.line import Line
from messages.ports import BrokerUnavailable, Outgoing, Publisher
from messages.replies import Dropped, Replies


class AmqpPublisher(Publisher):
    """Publishes to queues and streams by the default exchange, and replies by a connection of their own."""

    def __init__(
        self,
        url: str,
        *,
        declare: Callable[[], None] = lambda: None,
        may_reply_to: Callable[[str], bool] = lambda queue: True,
        on_dropped: Callable[[Dropped, int], None] = lambda why, count: None,
    ) -> None:
        """Publish at the broker with that AMQP URL.

        declare: called when a queue is missing that something is published to, before it is said; raises
        BrokerUnavailable. may_reply_to: whether a queue may get replies. on_dropped: told why replies were dropped, and
        how many.
        """
        self._declare = declare
        self._line = Line(url, "publisher")
        self._replies = Replies(url, may_reply_to, on_dropped)

    def publish(self, messages: list[Outgoing]) -> None:
        """Publish all as one piece, and take from the list what the broker has confirmed.

        Raises BrokerUnavailable where something is left; then only that is to be published again.
        """
        if not messages:
            return
        batch, reason, _ = self._line.send(messages, CONFIRM_TIMEOUT_SECONDS)
        if batch.refused:
            reason = f"refused {len(batch.refused)} messages"
        # Which messages came back is not said, only for which queue.
        left = batch.refused | batch.unanswered
        left |= {place for place, message in enumerate(messages) if message.to in batch.returned}
        messages[:] = [messages[place] for place in sorted(left)]
        if batch.returned:
            reason = f"there was no {', '.join(sorted(batch.returned))}"
            self._declare()
        if messages:
            raise BrokerUnavailable(f"RabbitMQ: publishing: {reason}")

    def reply(self, messages: list[Outgoing]) -> None:
        """Send replies, and take from the list what was confirmed or dropped; raises BrokerUnavailable: see Replies."""
        self._replies.send(messages)

    def close(self) -> None:
        """Close the connections, where there are any."""
        self._line.close()
        self._replies.close()
