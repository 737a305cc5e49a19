"""Alerts: what is said when the state changes, and how it is sent: at least once, by each channel.

A change of state is stored with its report, and with it the channels that its alert has still to go by. Each channel
has a courier, a thread that sends what is due and notes that it was sent. So an alert survives a crash between the two
(it may then be sent again, with the same id), and a channel that is down delays neither an answer nor the other one.
"""

import logging
import threading
from functools import partial
from http import HTTPStatus
from typing import Protocol

import urllib3
from prometheus_client import Counter

from contracts.codec import encode, extended
from contracts.drift import Alert, DriftReport
from messages.ports import BrokerUnavailable
from process.retry import Abandoned, Retry
from records import RecordsUnavailable
from records.drift import DriftRecords

logger = logging.getLogger(__name__)

# Statuses below 500 that speak of the moment and not of the request.
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
SENT = Counter("drift_alerts_sent", "Alerts sent, by channel", ["channel"])
FAILED = Counter("drift_alerts_failed", "Times an alert was given up until later", ["channel"])


class NotSent(Exception):
    """An alert could not be sent. The message holds no address: that of a webhook is a secret."""


class ChannelDown(NotSent):
    """The channel can't take an alert now; trying again later is right."""

    def __init__(self, message: str, retry_after_seconds: float = 0) -> None:
        """retry_after_seconds: how long the channel asked to be left alone."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


DOWN = (ChannelDown, BrokerUnavailable)


class Channel(Protocol):
    """A way by which alerts go: `Webhook`, or the exchange at the broker.

    Both methods raise ChannelDown or BrokerUnavailable where trying again later is right.
    """

    name: str

    def prepare(self) -> None:
        """Make what a listener needs before the first alert."""

    def send(self, event: str, alert_id: str, body: bytes) -> None:
        """Return once an alert, as JSON, is taken; raises NotSent where trying again soon would not help."""


class Webhook:
    """A POST of JSON whose `text` is for people, as Slack and what is compatible with it show."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=10))

    def prepare(self) -> None:
        """Do nothing: a webhook is there, or is not."""

    def send(self, event: str, alert_id: str, body: bytes) -> None:  # noqa: ARG002 - the body has both
        """Send the alert; see Channel."""
        try:
            response = self._pool.request("POST", self._url, body=body, headers={"Content-Type": "application/json"})
        except urllib3.exceptions.HTTPError as error:
            raise ChannelDown(f"the webhook can't be reached: {type(error).__name__}") from error
        if response.status >= 500 or response.status in PASSING:
            asked = response.headers.get("Retry-After", "")
            raise ChannelDown(f"the webhook answered {response.status}", float(asked) if asked.isdecimal() else 0)
        if not 200 <= response.status < 300:
            raise NotSent(f"the webhook refused the alert with {response.status}: check ALERT_WEBHOOK_URL")


class Courier:
    """Sends by one channel what is due there, oldest first, in a thread of its own."""

    def __init__(self, records: DriftRecords, channel: Channel, timeout_seconds: float) -> None:
        """Send the alerts in `records`.

        timeout_seconds: how long one alert is tried, with back-off and jitter, before it waits for the next `wake`.
        """
        self.name = channel.name
        self._records = records
        self._channel = channel
        self._sent, self._failed = SENT.labels(self.name), FAILED.labels(self.name)
        self._due = threading.Event()
        self._closing = threading.Event()
        self._retry = Retry(self._closing, timeout_seconds=timeout_seconds)
        self._thread = threading.Thread(target=self._run, name=f"alerts-{self.name}", daemon=True)

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
        self._thread.join(timeout=5)

    def _run(self) -> None:
        prepared = False
        while self._due.wait() and not self._closing.is_set():
            self._due.clear()
            prepared = prepared or self._prepare()
            try:
                self._send_due()
            except Abandoned as error:
                self._failed.inc()
                logger.error("%s; the alert is tried again after the next check", error.__cause__ or error)
            except RecordsUnavailable as error:
                logger.warning("what alerts are due can't be seen until the next check: %s", error)

    def _prepare(self) -> bool:
        try:
            self._channel.prepare()
        except DOWN as error:
            logger.warning("%s; tried again after the next check", error)
            return False
        return True

    def _send_due(self) -> None:
        for report in self._records.undelivered(self.name):
            alert = compose(report)
            try:
                self._retry(partial(self._channel.send, alert.event, alert.id, encode(alert)), *DOWN)
            except NotSent as error:  # it is refused, which says nothing about the next one
                self._failed.inc()
                logger.error("%s: %s; it is tried again after the next check", alert.id, error)
                continue
            self._records.mark_delivered(report.number, self.name)
            self._sent.inc()
            logger.info("%s sent by %s", alert.event, self.name)


def compose(report: DriftReport) -> Alert:
    """Return the alert of a report whose state has changed."""
    return extended(
        report,
        Alert,
        text=_sentence(report),
        event=f"drift.{report.alert}",
        id=f"drift-{report.number}",
        tests={name: test for name, test in report.tests.items() if test.drift},
    )


def _sentence(report: DriftReport) -> str:
    reference = report.reference
    compared = (
        f"the last {report.window.documents} texts and the reference ({reference.kind}, {reference.documents} texts)"
        f" of model {report.model}"
    )
    at = f"{report.checked_at:%Y-%m-%d %H:%M} UTC"
    if report.alert == "cleared":
        return f"Drift cleared at {at}: {compared} look alike again."
    tests = ", ".join(
        f"{name} (p = {test.adjusted_p_value:.1e}, effect {test.effect_size:.2f})"
        for name, test in report.tests.items()
        if test.drift
    )
    words = ", ".join(f"{word.word} {word.share_reference:.1%} → {word.share_window:.1%}" for word in report.words)
    named = f" Words that moved most, as the share of texts that have them: {words}." if words else ""
    return f"Drift detected at {at} between {compared}: {tests}.{named}"
