"""Texts that come one by one become batches within predict's limits, several of them on their way at a time.

What predict could only refuse is answered here, so that it never costs its neighbours a second request.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from msgspec import Raw

from contracts.codec import encode
from contracts.limits import MAX_EXPLAINED_BATCH_CHARACTERS, TextTooLong, within_limit
from contracts.predict import Answer

# A tenth of what predict takes: more saves nothing, keeps single texts of others waiting, and is more to repeat.
BATCH_TEXTS = 1_000
BATCH_BYTES = 800_000

Score = Callable[[Sequence[Raw]], list[Answer]]
"""Scores texts, as JSON: as many answers, in their order."""


@dataclass
class Batch:
    """Texts that are asked together. items: each as JSON, or the error that is its answer."""

    items: list[Raw | Answer] = field(default_factory=list)
    bytes: int = 0
    characters: int = 0

    def answers(self, score: Score) -> list[Answer]:
        """Return an answer for each item, in their order."""
        texts = [item for item in self.items if isinstance(item, Raw)]
        scored = iter(score(texts) if texts else ())
        return [next(scored) if isinstance(item, Raw) else item for item in self.items]


class Line:
    """Batches on their way, whose answers come out in the order in which the texts went in; for one thread."""

    def __init__(self, score: Score, *, explain: bool, in_flight: int) -> None:
        """Score with `score`, called in threads of its own, `in_flight` batches at a time."""
        self._score = score
        self._explain = explain
        self._in_flight = in_flight
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="sentiment")
        self._on_their_way: deque[Future[list[Answer]]] = deque()
        self._batch = Batch()

    def put(self, text: object) -> Iterator[Future[list[Answer]]]:
        """Add a text; yields the answers that are to be taken before the next one is added."""
        found, characters = item(text, explain=self._explain)
        size = len(bytes(found)) if isinstance(found, Raw) else 0
        if self._is_full(size, characters):
            self._send()
        self._batch.items.append(found)
        self._batch.bytes += size
        self._batch.characters += characters
        while len(self._on_their_way) > self._in_flight:
            yield self._on_their_way.popleft()

    def end(self) -> Iterator[Future[list[Answer]]]:
        """Send what is left; yields the answers that have not been taken."""
        if self._batch.items:
            self._send()
        while self._on_their_way:
            yield self._on_their_way.popleft()

    def close(self) -> None:
        """Send no more; what is on its way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_full(self, size: int, characters: int) -> bool:
        batch = self._batch
        return bool(batch.items) and (
            len(batch.items) >= BATCH_TEXTS
            or batch.bytes + size > BATCH_BYTES
            or (self._explain and batch.characters + characters > MAX_EXPLAINED_BATCH_CHARACTERS)
        )

    def _send(self) -> None:
        self._on_their_way.append(self._threads.submit(self._batch.answers, self._score))
        self._batch = Batch()


def item(text: object, *, explain: bool) -> tuple[Raw | Answer, int]:
    """Return a text as JSON and its characters, or the error that predict would answer."""
    if not isinstance(text, str):
        return Answer(error="must be a string"), 0
    try:
        return Raw(encode(within_limit(text, explain=explain))), len(text)
    except TextTooLong as error:
        return Answer(error=str(error)), 0
    except UnicodeEncodeError as error:
        return Answer(error=f"has half a character at {error.start}, which can't be sent"), 0
