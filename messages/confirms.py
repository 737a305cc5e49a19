"""Which messages the broker has still to confirm: on a channel it counts them from 1, and answers by number."""

from collections import deque
from collections.abc import Collection


class Batch:
    """Messages that are published together, and what the broker has said of each; a message is its place, from 0.

    remaining: how many have no answer. refused: those with a bad one. returned: the queues that the broker did not
    find for some of them, of which it does not say which.
    """

    def __init__(self, count: int, queues: Collection[str] = ()) -> None:
        """Begin with `count` messages to `queues` that are not sent yet."""
        self.remaining = count
        self.refused: set[int] = set()
        self.returned: set[str] = set()
        self._queues = queues
        self._before = 0
        # All up to the first tag have an answer, and of those behind it, up to the last, the ones that are apart.
        self._first, self._last = 0, count
        self._apart: set[int] = set()

    @property
    def unanswered(self) -> set[int]:
        """The messages without an answer."""
        return self._places(self._last)

    def sent(self, last_tag: int) -> int:
        """Note that its messages were sent after the message `last_tag`; returns the tag of its last one."""
        self._before = self._first = last_tag
        self._last = last_tag + self.remaining
        return self._last

    def answered(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """Note an answer for the message `tag`, or for all up to it, where they are of this batch."""
        if refused and multiple:
            self.refused |= self._places(min(tag, self._last))
        elif refused and self._waits(tag):
            self.refused.add(tag - self._before - 1)
        self.remaining -= self._up_to(min(tag, self._last)) if multiple else self._one(tag)

    def came_back(self, queue: str) -> None:
        """Note that there was no such queue for a message, which may be of this batch."""
        if queue in self._queues:
            self.returned.add(queue)

    def _places(self, last_tag: int) -> set[int]:
        """Return the messages without an answer up to a tag."""
        return {tag - self._before - 1 for tag in range(self._first + 1, last_tag + 1) if tag not in self._apart}

    def _waits(self, tag: int) -> bool:
        return self._first < tag <= self._last and tag not in self._apart

    def _up_to(self, tag: int) -> int:
        """Return for how many messages up to `tag` this is the first answer."""
        if tag <= self._first:
            return 0
        before = {apart for apart in self._apart if apart <= tag}
        self._apart -= before
        count = tag - self._first - len(before)
        self._first = tag
        return count

    def _one(self, tag: int) -> int:
        """Return 1 where this is the first answer for the message `tag`, and else 0."""
        if not self._waits(tag):
            return 0
        if tag == self._first + 1:
            self._first = tag
        else:
            self._apart.add(tag)
        return 1


class Confirms:
    """The batches that were sent on one channel and have messages without an answer. One thread uses it."""

    def __init__(self) -> None:
        """Begin with a new channel."""
        self._batches: deque[Batch] = deque()
        self._last_tag = 0

    def sent(self, batch: Batch) -> None:
        """Note that a batch was sent."""
        self._last_tag = batch.sent(self._last_tag)
        self._batches.append(batch)

    def answered(self, tag: int, *, multiple: bool, refused: bool) -> bool:
        """Note an answer for the message `tag`, or for all up to it; returns whether a batch has all of its own now."""
        for batch in self._batches:
            batch.answered(tag, multiple=multiple, refused=refused)
        waiting = deque(batch for batch in self._batches if batch.remaining)
        complete = len(waiting) < len(self._batches)
        self._batches = waiting
        return complete

    def came_back(self, queue: str) -> None:
        """Note that there was no such queue for a message: the broker says so before it confirms that message."""
        for batch in self._batches:
            batch.came_back(queue)
