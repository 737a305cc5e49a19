"""The one retry of the project: tries until it works, or until it is told to give up."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from process.backoff import Backoff

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0


class Abandoned(Exception):
    """The work was given up; nothing of it may be counted as done. Its cause is the last error."""


class Retry:
    """Calls until it works. Give-up is an event, so that a stopping process waits for no back-off."""

    def __init__(
        self,
        give_up: threading.Event,
        *,
        timeout_seconds: float = float("inf"),
        on_retry: Callable[[str], None] = lambda error: None,
    ) -> None:
        """Try until `give_up` is set, or for `timeout_seconds`; on_retry is told the name of each error."""
        self._give_up = give_up
        self._timeout_seconds = timeout_seconds
        self._on_retry = on_retry

    def __call__(self, operation: Callable[[], Result], *errors: type[Exception]) -> Result:
        """Return what `operation` returns, trying again after one of `errors`; raises Abandoned.

        An error with `retry_after_seconds` asks for at least that wait.
        """
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                return operation()
            except errors as error:
                if self._give_up.is_set() or time.monotonic() >= deadline:
                    raise Abandoned from error
                self._on_retry(type(error).__name__)
                wait_seconds = backoff.failed(getattr(error, "retry_after_seconds", None) or 0.0)
                logger.warning("%s; tried again in %.1f s", error, wait_seconds)
            self._give_up.wait(wait_seconds)
