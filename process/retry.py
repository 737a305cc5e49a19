"""The one retry of the project: tries until it works, or until it is told to give up."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_delay
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

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

        def wait(state: RetryCallState) -> float:
            return backoff.failed(getattr(_error(state), "retry_after_seconds", None) or 0.0)

        retrying = Retrying(
            retry=retry_if_exception_type(errors),
            wait=wait,
            stop=stop_when_event_set(self._give_up) | stop_after_delay(self._timeout_seconds),
            sleep=sleep_using_event(self._give_up),
            before_sleep=self._log,
        )
        try:
            return retrying(operation)
        except RetryError as error:
            raise Abandoned from error.last_attempt.exception()

    def _log(self, state: RetryCallState) -> None:
        error = _error(state)
        self._on_retry(type(error).__name__)
        logger.warning("%s; attempt %d follows", error, state.attempt_number + 1)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
