"""Replies, which are their senders' own risk: whoever names a queue can't have others wait for it."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from enum import StrEnum

from messages.frames import fits
from messages.line import Line, Sent
from messages.ports import BrokerUnavailable, Outgoing

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""How long the confirms of replies are waited for before it is asked which queue is at fault."""
CHECK_SECONDS = 5.0
"""How long a queue may take to confirm a single reply, while the broker answers otherwise."""
STUCK_SECONDS = 60.0
"""How long a queue that did not is left alone."""

_TOLD = 3
# There is no queue of that name, and never can be: a broker that is well confirms what is for it at once.
_NOWHERE = Outgoing("", b"")


class Dropped(StrEnum):
    """Why a reply was dropped.

    forbidden: its queue is not one that may get replies. unroutable: there is no such queue. refused: the queue did not
    take it, as when it is full. unconfirmed: the queue is stuck, and does not say whether it took it.
    """

    FORBIDDEN = "forbidden"
    UNROUTABLE = "unroutable"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"


class Replies:
    """Sends replies to the queues that their senders named, each at least once unless its own queue prevents it.

    A queue that is stuck, as one without a majority of its replicas, takes credit from whoever publishes to it until
    RabbitMQ reads no more from that connection. So replies have a connection of their own, and a queue that is found to
    be stuck gets none for a while.
    """

    def __init__(
        self, url: str, may_reply_to: Callable[[str], bool], on_dropped: Callable[[Dropped, int], None]
    ) -> None:
        """Reply at the broker with that AMQP URL; may_reply_to, on_dropped: see AmqpPublisher."""
        self._url = url
        self._may_reply_to = may_reply_to
        self._on_dropped = on_dropped
        self._line = Line(url, "replies", on_return=lambda _: on_dropped(Dropped.UNROUTABLE, 1))
        self._checking = threading.Lock()
        self._checked_at = float("-inf")
        self._stuck_until: dict[str, float] = {}

    def send(self, messages: list[Outgoing]) -> None:
        """Return when every reply is confirmed or dropped; raises BrokerUnavailable where some are left in the list.

        What the broker or the network does not take is left, to be sent again; what a reply's own queue does not is
        dropped and counted.
        """
        self._drop(messages, Dropped.FORBIDDEN, {name for name in _queues(messages) if not self._may_reply_to(name)})
        self._drop(messages, Dropped.UNROUTABLE, {name for name in _queues(messages) if not fits(name)})
        self._drop_stuck(messages)
        if not messages:
            return
        began_at = time.monotonic()
        sent = self._line.send(messages, TIMEOUT_SECONDS)
        self._settle(messages, sent)
        if sent.late and messages:
            self._find_stuck(messages, began_at)
            self._drop_stuck(messages)
        if messages:
            raise BrokerUnavailable(f"RabbitMQ: replying: {sent.reason}")

    def close(self) -> None:
        """Close the connection, where there is one."""
        self._line.close()

    def _settle(self, messages: list[Outgoing], sent: Sent) -> None:
        """Leave those that have no answer."""
        batch = sent.batch
        if batch.refused:
            self._on_dropped(Dropped.REFUSED, len(batch.refused))
            _tell(Dropped.REFUSED, {messages[place].to for place in batch.refused})
        if batch.returned:
            _tell(Dropped.UNROUTABLE, batch.returned)
        messages[:] = [messages[place] for place in sorted(batch.unanswered)]

    def _find_stuck(self, messages: list[Outgoing], began_at: float) -> None:
        """Find out which queues are stuck: by a reply for each, on a connection that nothing waits on.

        Raises BrokerUnavailable where the broker itself does not answer. Of several who were late together, one asks.
        """
        with self._checking:
            if self._checked_at > began_at:
                return
            line = Line(self._url, "replies-check")
            one_each = list({message.to: message for message in messages}.values())
            try:
                # The last: a broker that is short of memory reads no further than to the first.
                batch, reason, late = line.send([*one_each, _NOWHERE], CHECK_SECONDS)
            finally:
                line.close()
            waiting = batch.unanswered
            if len(one_each) in waiting or (waiting and not late):
                raise BrokerUnavailable(f"RabbitMQ: replying: {reason}")
            self._checked_at = now = time.monotonic()
            self._stuck_until |= {one_each[place].to: now + STUCK_SECONDS for place in waiting}

    def _drop_stuck(self, messages: list[Outgoing]) -> None:
        """Drop the replies to queues that are stuck, once it is known which are."""
        with self._checking:
            now = time.monotonic()
            self._stuck_until = {name: until for name, until in self._stuck_until.items() if until > now}
            self._drop(messages, Dropped.UNCONFIRMED, self._stuck_until.keys())

    def _drop(self, messages: list[Outgoing], why: Dropped, queues: Collection[str]) -> None:
        """Drop the replies to these queues."""
        kept = [message for message in messages if message.to not in queues] if queues else messages
        if count := len(messages) - len(kept):
            self._on_dropped(why, count)
            _tell(why, _queues(messages) - _queues(kept))
            messages[:] = kept


def _queues(messages: Collection[Outgoing]) -> set[str]:
    return {message.to for message in messages}


def _tell(why: Dropped, queues: Collection[str]) -> None:
    """Say which queues get no replies, in one line, however many they are and whatever they are called."""
    names = [repr(name[:100]) for name in sorted(queues)[:_TOLD]]
    more = f" and {len(queues) - _TOLD} more" if len(queues) > _TOLD else ""
    logger.info("replies were dropped (%s): to %s%s", why, ", ".join(names), more)
