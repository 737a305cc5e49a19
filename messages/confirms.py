"""Which messages the broker has still to confirm: on a channel it counts them from 1, and answers by number."""

from collections import deque


class Batch:
    """Messages that are published together; remaining: those without an answer; refused: those with a bad one."""

    def __init__(self, count: int) -> None:
        """Begin with `count` messages that are not sent yet."""
        self.remaining = count
        self.refused = 0
        # All up to the first tag have an answer, and of those behind it, up to the last, the ones that are apart.
        self._first = self._last = 0
        self._apart: set[int] = set()

    def sent(self, last_tag: int) -> int:
        """Note that its messages were sent after the message `last_tag`; returns the tag of its last one."""
        self._first = last_tag
        self._last = last_tag + self.remaining
        return self._last

    def answered(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """Note an answer for the message `tag`, or for all up to it, where they are of this batch."""
        count = self._up_to(min(tag, self._last)) if multiple else self._one(tag)
        self.remaining -= count
        self.refused += count if refused else 0

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
        if not self._first < tag <= self._last or tag in self._apart:
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
