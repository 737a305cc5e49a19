"""The bridge's settings, all from environment variables."""

import os
from dataclasses import dataclass
from typing import Self

from bridge.inputs import Input, QueueInput, StreamInput
from bridge.pipeline import BatchLimits
from process.secrets import read_secret
from process.settings import SettingsError, number

DEFAULT_STREAM_MAX_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Settings:
    """See docs/configuration.md for the variables."""

    rabbitmq_url: str
    gateway_url: str
    reviews: Input
    labels: StreamInput | None
    retrain_token: str | None
    stream_max_bytes: int
    limits: BatchLimits
    in_flight: int
    function_timeout_seconds: float
    drain_seconds: float

    @property
    def inputs(self) -> list[Input]:
        """What is read."""
        return [self.reviews, self.labels] if self.labels else [self.reviews]

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
            stream_max_bytes=int(number("STREAM_MAX_BYTES", DEFAULT_STREAM_MAX_BYTES, least=1)),
            limits=BatchLimits(
                messages=int(number("BRIDGE_BATCH_MESSAGES", BatchLimits.messages, least=1)),
                bytes=int(number("BRIDGE_BATCH_BYTES", BatchLimits.bytes, least=1)),
                wait_seconds=number("BRIDGE_BATCH_WAIT_SECONDS", BatchLimits.wait_seconds, least=0),
            ),
            in_flight=int(number("BRIDGE_IN_FLIGHT", 8, least=1)),
            function_timeout_seconds=number("BRIDGE_FUNCTION_TIMEOUT_SECONDS", 30, least=0.1),
            drain_seconds=number("BRIDGE_DRAIN_SECONDS", 20, least=0.1),
        )


def _input(value: str) -> Input:
    match value.split(":", 1):
        case ["stream", name] if name:
            return StreamInput(name)
        case ["queue", name] if name:
            return QueueInput(name)
    raise SettingsError("BRIDGE_SOURCE must be stream:<name> or queue:<name>, for example stream:reviews")
