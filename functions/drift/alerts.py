"""Alerts: what is said when the state changes, by which channels, and that it is said at least once.

A change of state is stored with its report, and with it the channels that its alert has still to go by. Each channel
has a courier, a thread that sends what is due and notes that it was sent. So an alert survives a crash between the two
(it may then be sent again, with the same id), and a channel that is down delays neither an answer nor the other one.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

import orjson
import pika
import urllib3
from pika.adapters.blocking_connection import BlockingChannel
from pika.delivery_mode import DeliveryMode
from pika.exceptions import AMQPError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from records import RecordsUnavailable
from records.drift import DriftRecords
from records.mongo import Document

logger = logging.getLogger(__name__)

EXCHANGE = "alerts"
CONNECT_TIMEOUT_SECONDS = 5
ANSWER_TIMEOUT_SECONDS = 10
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 5
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

    def send(self, alert: dict[str, Any]) -> None:
        """Return once the alert is taken; raises ChannelDown, or NotSent where trying again soon would not help."""


class Exchange:
    """RabbitMQ's topic exchange `alerts`, durable, with the event as routing key; confirmed by the broker."""

    name = "rabbitmq"

    def __init__(self, url: str) -> None:
        """Publish to the broker at an AMQP URL; a connection lasts for one alert, since there are so few."""
        self._parameters = pika.URLParameters(url)
        self._parameters.socket_timeout = CONNECT_TIMEOUT_SECONDS
        self._parameters.stack_timeout = ANSWER_TIMEOUT_SECONDS
        self._parameters.blocked_connection_timeout = ANSWER_TIMEOUT_SECONDS

    def prepare(self) -> None:
        """Declare the exchange, so that queues can be bound to it."""
        with self._channel():
            pass

    def send(self, alert: dict[str, Any]) -> None:
        """See Channel."""
        properties = pika.BasicProperties(
            content_type="application/json", message_id=alert["id"], delivery_mode=DeliveryMode.Persistent
        )
        with self._channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish(EXCHANGE, alert["event"], orjson.dumps(alert), properties)

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        """Connect and declare the exchange; turns pika's errors into ChannelDown."""
        try:
            connection = pika.BlockingConnection(self._parameters)
            try:
                channel = connection.channel()
                channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
                yield channel
            finally:
                if connection.is_open:
                    connection.close()
        except (AMQPError, OSError) as error:
            raise ChannelDown(f"RabbitMQ: {error!r}") from error


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

    def send(self, alert: dict[str, Any]) -> None:
        """See Channel."""
        try:
            response = self._pool.request(
                "POST", self._url, body=orjson.dumps(alert), headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise ChannelDown(f"the webhook can't be reached: {type(error).__name__}") from error
        if response.status >= 500 or response.status in PASSING:
            asked = response.headers.get("Retry-After", "")
            raise ChannelDown(f"the webhook answered {response.status}", float(asked) if asked.isdecimal() else 0)
        if not 200 <= response.status < 300:
            raise NotSent(f"the webhook refused the alert with {response.status}: check ALERT_WEBHOOK_URL")


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
        self._timeout_seconds = timeout_seconds
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._due = threading.Event()
        self._closing = threading.Event()
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
            except NotSent as error:
                self._on_failed()
                logger.error("%s; the alert is tried again after the next check", error)
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
            retrying = Retrying(
                retry=retry_if_exception_type(ChannelDown),
                wait=_wait_seconds,
                stop=stop_after_delay(self._timeout_seconds) | stop_when_event_set(self._closing),
                sleep=sleep_using_event(self._closing),
                reraise=True,
            )
            retrying(self._channel.send, alert)
            self._records.mark_delivered(report, self._channel.name)
            self._on_sent()
            logger.info("%s sent by %s", alert["event"], self._channel.name)


def compose(report: Document) -> dict[str, Any]:
    """Return the alert of a report whose state has changed, as JSON types and times."""
    event = f"drift.{report['alert']}"
    return {
        "text": _sentence(report),
        "event": event,
        "id": f"drift-{report['number']}",
        "drift": report["drift"],
        "checked_at": report["checked_at"],
        "model": report["model"],
        "tests": {name: test for name, test in report["tests"].items() if test["drift"]},
        "words": report["words"],
        "window": report["window"],
        "reference": report["reference"],
    }


def _sentence(report: Document) -> str:
    window, reference = report["window"]["documents"], report["reference"]
    compared = (
        f"the last {window} texts and the reference ({reference['kind']}, {reference['documents']} texts)"
        f" of model {report['model']}"
    )
    checked_at: datetime = report["checked_at"]
    at = f"{checked_at:%Y-%m-%d %H:%M} UTC"
    if report["alert"] == "cleared":
        return f"Drift cleared at {at}: {compared} look alike again."
    tests = ", ".join(
        f"{name} (p = {test['adjusted_p_value']:.1e}, effect {test['effect_size']:.2f})"
        for name, test in report["tests"].items()
        if test["drift"]
    )
    words = ", ".join(
        f"{word['word']} {word['share_reference']:.1%} → {word['share_window']:.1%}" for word in report["words"]
    )
    named = f" Words that moved most, as the share of texts that have them: {words}." if words else ""
    return f"Drift detected at {at} between {compared}: {tests}.{named}"


def _wait_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_seconds = error.retry_after_seconds if isinstance(error, ChannelDown) else 0
    jittered_seconds = wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)(state)
    return max(min(asked_seconds, LONGEST_WAIT_SECONDS), jittered_seconds)
