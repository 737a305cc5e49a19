"""The one retry policy of the bridge: back-off with jitter until it works, or until it is told to give up."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0


class Abandoned(Exception):
    """The work was given up because the process is stopping; nothing of it may be counted as done."""


class Retry:
    """Calls until it works. Give-up is an event, so that a stopping process waits for no back-off."""

    def __init__(self, give_up: threading.Event, *, on_retry: Callable[[str], None] = lambda error: None) -> None:
        """Try until `give_up` is set; on_retry is told the name of each error."""
        self._give_up = give_up
        self._on_retry = on_retry

    def __call__(self, operation: Callable[[], Result], *errors: type[Exception]) -> Result:
        """Return what `operation` returns, trying again after one of `errors`; raises Abandoned."""
        retrying = Retrying(
            retry=retry_if_exception_type(errors),
            wait=self._wait,
            stop=stop_when_event_set(self._give_up),
            sleep=sleep_using_event(self._give_up),
            before_sleep=self._log,
        )
        try:
            return retrying(operation)
        except RetryError as error:
            raise Abandoned from error

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_seconds = float(getattr(error, "retry_after_seconds", None) or 0)
        jittered_seconds = wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)(state)
        return max(min(asked_seconds, LONGEST_WAIT_SECONDS), jittered_seconds)

    def _log(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._on_retry(type(error).__name__)
        logger.warning("%s; attempt %d follows", error, state.attempt_number + 1)
