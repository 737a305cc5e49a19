"""Work that may not be done twice at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class Busy(Exception):
    """Such work is under way already; the message says since when."""


class Exclusive:
    """Lets one thread work at a time; another is refused at once, since whoever asks over HTTP can ask again."""

    def __init__(self, refusal: str) -> None:
        """refusal: what is under way, as in "a run is under way"."""
        self._refusal = refusal
        self._lock = threading.Lock()
        self._since = ""

    @contextmanager
    def __call__(self) -> Iterator[str]:
        """Hold the right to work, and get the time since when; raises Busy where another thread holds it."""
        if not self._lock.acquire(blocking=False):
            raise Busy(f"{self._refusal} since {self._since}; try again when that has ended")
        try:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
            yield self._since
        finally:
            self._lock.release()
