"""The bridge's settings; see docs/configuration.md for the variables."""

import os
from dataclasses import dataclass, field

from contracts.names import PREDICTIONS, REJECTED
from messages.ports import Source
from messages.sources import QueueSource, StreamSource
from messages.topology import declare_queue, declare_streams
from process.settings import SettingsError, number, read_secret, setting, whole_number


@dataclass(frozen=True)
class BatchLimits:
    """A batch is closed at the first of messages, bytes and wait_seconds that it reaches. Read as Settings is.

    messages and bytes: how many, and how many bytes of bodies together.
    wait_seconds: time since its first message.
    in_flight: how many batches are in hand at a time.
    """

    messages: int = setting(whole_number, "BRIDGE_BATCH_MESSAGES", 1000, least=1)
    bytes: int = setting(whole_number, "BRIDGE_BATCH_BYTES", 4 * 1024 * 1024, least=1)
    wait_seconds: float = setting(number, "BRIDGE_BATCH_WAIT_SECONDS", 0.005, least=0)
    in_flight: int = setting(whole_number, "BRIDGE_IN_FLIGHT", 8, least=1)


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


def _reviews() -> StreamInput | QueueInput:
    match (os.environ.get("BRIDGE_SOURCE") or "stream:reviews").split(":", 1):
        case ["stream", name] if name:
            return StreamInput(name)
        case ["queue", name] if name:
            return QueueInput(name)
    raise SettingsError("BRIDGE_SOURCE must be stream:<name> or queue:<name>, for example stream:reviews")


@dataclass(frozen=True)
class Settings:
    """What is not given is read from the environment; raises SettingsError. labels: a stream, empty to read none."""

    rabbitmq_url: str = setting(
        lambda: read_secret("rabbitmq-url", "RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672/"
    )
    gateway_url: str = setting(lambda: os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    reviews: StreamInput | QueueInput = field(default_factory=_reviews)
    labels: str = setting(os.environ.get, "BRIDGE_LABELS", "labels")
    retrain_token: str | None = setting(read_secret, "retrain-token", "RETRAIN_TOKEN")
    stream_max_bytes: int = setting(whole_number, "STREAM_MAX_BYTES", 5_000_000_000, least=1)
    limits: BatchLimits = field(default_factory=BatchLimits)
    function_timeout_seconds: float = setting(number, "BRIDGE_FUNCTION_TIMEOUT_SECONDS", 30, least=0.1)
    drain_seconds: float = setting(number, "BRIDGE_DRAIN_SECONDS", 20, least=0.1)

    def declare(self) -> None:
        """Declare at the broker what the bridge reads and writes, where it is missing; raises BrokerUnavailable."""
        streams = filter(None, (PREDICTIONS, REJECTED, self.labels))
        declare_streams(self.rabbitmq_url, streams, self.stream_max_bytes)
        self.reviews.declare(self)
