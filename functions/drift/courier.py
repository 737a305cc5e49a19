"""Couriers: alerts are sent at least once, by each channel.

A change of state is stored with its report, and with it the channels that its alert has still to go by. Each channel
has a courier, a thread that sends what is due and notes that it was sent. So an alert survives a crash between the two
(it may then be sent again, with the same id), and a channel that is down delays neither an answer nor the other one.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from functions.drift.alerts import Channel, ChannelDown, NotSent, compose
from process.retry import Abandoned, Retry
from records import RecordsUnavailable
from records.drift import DriftRecords

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS = 5


class Courier:
    """Sends by one channel what is due there, oldest first, in a thread of its own."""

    def __init__(
        self,
        records: DriftRecords,
        channel: Channel,
        *,
        timeout_seconds: float,
        on_sent: Callable[[], None] = lambda: None,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Send the alerts in `records`.

        timeout_seconds: how long one alert is tried, with back-off and jitter, before it waits for the next `wake`.
        """
        self._records = records
        self._channel = channel
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._due = threading.Event()
        self._closing = threading.Event()
        self._retry = Retry(self._closing, timeout_seconds=timeout_seconds)
        self._thread = threading.Thread(target=self._run, name=f"alerts-{channel.name}", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Look for what is due; returns at once."""
        self._due.set()

    def close(self) -> None:
        """Stop. What was not sent stays due."""
        self._closing.set()
        self._due.set()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    def _run(self) -> None:
        prepared = False
        while self._due.wait() and not self._closing.is_set():
            self._due.clear()
            prepared = prepared or self._prepare()
            try:
                self._send_due()
            except (NotSent, Abandoned) as error:
                self._on_failed()
                logger.error("%s; the alert is tried again after the next check", error.__cause__ or error)
            except RecordsUnavailable as error:
                logger.warning("what alerts are due can't be seen until the next check: %s", error)

    def _prepare(self) -> bool:
        try:
            self._channel.prepare()
        except ChannelDown as error:
            logger.warning("%s; tried again after the next check", error)
            return False
        return True

    def _send_due(self) -> None:
        for report in self._records.undelivered(self._channel.name):
            alert = compose(report)
            self._retry(partial(self._channel.send, alert), ChannelDown)
            self._records.mark_delivered(report.number, self._channel.name)
            self._on_sent()
            logger.info("%s sent by %s", alert.event, self._channel.name)
