"""Alerts: what is said when the state changes, and the channels by which it goes."""

from http import HTTPStatus
from typing import Protocol

import urllib3

from contracts.codec import encode
from contracts.drift import Alert, DriftReport
from messages.alerts import AlertExchange
from messages.ports import BrokerUnavailable

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_TIMEOUT_SECONDS = 10
# Statuses below 500 that speak of the moment and not of the request.
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class NotSent(Exception):
    """An alert could not be sent. The message holds no address: that of a webhook is a secret."""


class ChannelDown(NotSent):
    """The channel can't take an alert now; trying again later is right."""

    def __init__(self, message: str, retry_after_seconds: float = 0) -> None:
        """retry_after_seconds: how long the channel asked to be left alone."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    """A way by which alerts go."""

    name: str

    def prepare(self) -> None:
        """Make what a listener needs before the first alert; raises ChannelDown."""

    def send(self, alert: Alert) -> None:
        """Return once the alert is taken; raises ChannelDown, or NotSent where trying again soon would not help."""


class Exchange:
    """RabbitMQ's exchange `alerts`, with the event as routing key."""

    name = "rabbitmq"

    def __init__(self, exchange: AlertExchange) -> None:
        """Send to `exchange`."""
        self._exchange = exchange

    def prepare(self) -> None:
        """Declare the exchange, so that queues can be bound to it."""
        try:
            self._exchange.prepare()
        except BrokerUnavailable as error:
            raise ChannelDown(str(error)) from error

    def send(self, alert: Alert) -> None:
        """See Channel."""
        try:
            self._exchange.send(alert.event, alert.id, encode(alert))
        except BrokerUnavailable as error:
            raise ChannelDown(str(error)) from error


class Webhook:
    """A POST of JSON whose `text` is for people, as Slack and what is compatible with it show."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        """Send to `url`."""
        self._url = url
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=ANSWER_TIMEOUT_SECONDS)
        )

    def prepare(self) -> None:
        """Nothing: a webhook is there, or is not."""

    def send(self, alert: Alert) -> None:
        """See Channel."""
        try:
            response = self._pool.request(
                "POST", self._url, body=encode(alert), headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise ChannelDown(f"the webhook can't be reached: {type(error).__name__}") from error
        if response.status >= 500 or response.status in PASSING:
            asked = response.headers.get("Retry-After", "")
            raise ChannelDown(f"the webhook answered {response.status}", float(asked) if asked.isdecimal() else 0)
        if not 200 <= response.status < 300:
            raise NotSent(f"the webhook refused the alert with {response.status}: check ALERT_WEBHOOK_URL")


def compose(report: DriftReport) -> Alert:
    """Return the alert of a report whose state has changed."""
    return Alert(
        text=_sentence(report),
        event=f"drift.{report.alert}",
        id=f"drift-{report.number}",
        drift=report.drift,
        checked_at=report.checked_at,
        model=report.model,
        tests={name: test for name, test in report.tests.items() if test.drift},
        words=report.words,
        window=report.window,
        reference=report.reference,
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
