"""The bridge's settings, all from environment variables, and what it reads by them."""

import os
from dataclasses import dataclass
from typing import Self

from bridge.pipeline import BatchLimits
from contracts.names import PREDICTIONS, REJECTED
from messages.ports import Source
from messages.sources import QueueSource, StreamSource
from messages.topology import declare_queue, declare_streams
from process.settings import SettingsError, number, read_secret


@dataclass(frozen=True)
class StreamInput:
    """A stream to be read."""

    name: str

    def declare(self, settings: "Settings") -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""
        declare_streams(settings.rabbitmq_url, [self.name], settings.stream_max_bytes)

    def source(self, settings: "Settings") -> Source:
        """Return what reads it, two batches ahead of what is worked on."""
        return StreamSource(settings.rabbitmq_url, self.name, prefetch=2 * settings.limits.messages)


@dataclass(frozen=True)
class QueueInput:
    """A queue to be read."""

    name: str

    def declare(self, settings: "Settings") -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""
        declare_queue(settings.rabbitmq_url, self.name)

    def source(self, settings: "Settings") -> Source:
        """Return what reads it, two batches ahead of what is worked on."""
        # What is in hand counts too, since it is acknowledged afterwards.
        prefetch = (2 + settings.limits.in_flight) * settings.limits.messages
        return QueueSource(settings.rabbitmq_url, self.name, prefetch=prefetch)


@dataclass(frozen=True)
class Settings:
    """See docs/configuration.md for the variables."""

    rabbitmq_url: str
    gateway_url: str
    reviews: StreamInput | QueueInput
    labels: StreamInput | None
    retrain_token: str | None
    stream_max_bytes: int
    limits: BatchLimits
    function_timeout_seconds: float
    drain_seconds: float

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment and secrets; raises SettingsError."""
        # Set but empty: labels are not read.
        labels = os.environ.get("BRIDGE_LABELS", "labels")
        return cls(
            rabbitmq_url=read_secret("rabbitmq-url", "RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672/",
            gateway_url=os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080",
            reviews=_input(os.environ.get("BRIDGE_SOURCE") or "stream:reviews"),
            labels=StreamInput(labels) if labels else None,
            retrain_token=read_secret("retrain-token", "RETRAIN_TOKEN"),
            stream_max_bytes=int(number("STREAM_MAX_BYTES", 5_000_000_000, least=1)),
            limits=BatchLimits(
                messages=int(number("BRIDGE_BATCH_MESSAGES", BatchLimits.messages, least=1)),
                bytes=int(number("BRIDGE_BATCH_BYTES", BatchLimits.bytes, least=1)),
                wait_seconds=number("BRIDGE_BATCH_WAIT_SECONDS", BatchLimits.wait_seconds, least=0),
                in_flight=int(number("BRIDGE_IN_FLIGHT", BatchLimits.in_flight, least=1)),
            ),
            function_timeout_seconds=number("BRIDGE_FUNCTION_TIMEOUT_SECONDS", 30, least=0.1),
            drain_seconds=number("BRIDGE_DRAIN_SECONDS", 20, least=0.1),
        )

    def declare(self) -> None:
        """Declare at the broker what the bridge reads and writes, where it is missing; raises BrokerUnavailable."""
        declare_streams(self.rabbitmq_url, (PREDICTIONS, REJECTED), self.stream_max_bytes)
        self.reviews.declare(self)
        if self.labels:
            self.labels.declare(self)


def _input(value: str) -> StreamInput | QueueInput:
    match value.split(":", 1):
        case ["stream", name] if name:
            return StreamInput(name)
        case ["queue", name] if name:
            return QueueInput(name)
    raise SettingsError("BRIDGE_SOURCE must be stream:<name> or queue:<name>, for example stream:reviews")
