"""What the bridge answers from now on, as the stream `predictions` has it."""

import time
from contextlib import suppress

from contracts.codec import Malformed
from contracts.names import PREDICTIONS
from contracts.stream import ReviewAnswer, read_answer
from messages.ports import BrokerUnavailable
from messages.stream_source import StreamSource
from process.backoff import Backoff
from process.retry import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS

MESSAGES = 1_000


class Following:
    """Reads answers as they come, and connects anew where the broker was away; for one thread.

    problem: why none can be read at present, else empty.
    """

    def __init__(self, stream_url: str) -> None:
        """Follow the stream at the broker with that stream URL."""
        self._source = StreamSource(stream_url, PREDICTIONS, from_end=True)
        self._backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._again_at = 0.0
        self._connected = False
        self.problem = ""

    def read(self, timeout_seconds: float) -> list[ReviewAnswer]:
        """Return the answers that have come, or do in time; none where there are none, or the broker is away."""
        if not self._connected and time.monotonic() < self._again_at:
            time.sleep(min(timeout_seconds, self._again_at - time.monotonic()))
            return []
        try:
            if not self._connected:
                self._source.open()
                self._connected = True
            messages = self._source.read(MESSAGES, timeout_seconds)
            self._backoff.worked()
            self.problem = ""
        except BrokerUnavailable as error:
            self._connected, self.problem = False, str(error)
            self._again_at = time.monotonic() + self._backoff.failed()
            return []
        answers = []
        for message in messages:
            with suppress(Malformed):  # anybody may write there
                answers.append(read_answer(message.body))
        return answers

    def close(self) -> None:
        """Read no more."""
        self._source.close()
