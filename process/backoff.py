"""How long to wait after failures in a row: the one back-off of the project."""

import random
import time

STEADY_SECONDS = 5.0
"""How long something must have worked for its next failure to be the first again."""


class Backoff:
    """Waits that double with each failure, with jitter, up to a longest; for one thread.

    What fails again soon after it worked goes on where it was: a connection that dies right after it was opened would
    else be opened without a pause for ever.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        """first_seconds, longest_seconds: the wait after the first failure, and the longest one, before jitter."""
        self._first_seconds = first_seconds
        self.longest_seconds = longest_seconds
        self._failures = 0
        self._worked_at: float | None = None

    def worked(self) -> None:
        """Note that it works now."""
        if self._worked_at is None:
            self._worked_at = time.monotonic()

    def failed(self, asked_seconds: float = 0.0) -> float:
        """Note a failure, and return the seconds to wait: less up to a half by jitter, at least those asked for.

        asked_seconds: as in `Retry-After`; of more than the longest wait, the longest is waited.
        """
        if self._worked_at is not None and time.monotonic() - self._worked_at >= STEADY_SECONDS:
            self._failures = 0
        self._worked_at = None
        seconds = min(self.longest_seconds, self._first_seconds * 2.0 ** min(self._failures, 20))
        self._failures += 1
        jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
        return max(jitter * seconds, min(asked_seconds, self.longest_seconds))
