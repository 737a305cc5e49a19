"""How often is done what anybody may have done: routes that the schedule calls, which has no token to send."""

import threading
import time

from process.guard import is_loopback


class Pace:
    """Lets something be done once in so many seconds, whoever asks; for any thread.

    It is of one process, and begins anew with it.
    """

    def __init__(self, seconds: float) -> None:
        """seconds: from one beginning to the next, 0 for as often as it is asked for."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next = 0.0

    @classmethod
    def at(cls, address: str, seconds: float) -> "Pace":
        """Return the pace of a process that listens at `address`; on loopback, none."""
        return cls(0 if is_loopback(address) else seconds)

    def seconds_to_wait(self) -> float:
        """Return 0 where it may be done now, and is; else how long until it may be."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            self._next = now + self._seconds
            return 0
