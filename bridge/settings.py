"""The bridge's settings; see docs/configuration.md for the variables."""

import logging
import os
from dataclasses import dataclass, field
from functools import cached_property

from contracts.names import ALERTS, PREDICTIONS, REJECTED
from messages.lock import lock_queue
from messages.ports import Source
from messages.queue_source import QueueSource
from messages.settings import amqp_url, stream_url
from messages.stream_client import SHARED_SINCE, asking, partitions
from messages.stream_source import Group, StreamSource
from messages.topology import (
    dead_letter_queue,
    declare_input_stream,
    declare_queue,
    declare_streams,
    declare_super_stream,
)
from process.settings import SettingsError, number, read_secret, setting, whole_number

logger = logging.getLogger(__name__)

READERS = "sentiment-bridge"
"""The name that all bridges share as readers of a stream."""
DRAIN_SECONDS = 20
"""Without BRIDGE_DRAIN_SECONDS; whoever stops a bridge kills it later than that."""
NO_QUEUES = "amq.rabbitmq."
"""What names begin with that mean something else to the broker, such as a client's channel (direct reply-to)."""
MAX_PARTITIONS = 200
"""A stream remembers numbers under 255 names, and `predictions` has a name for each partition."""


@dataclass(frozen=True)
class BatchLimits:
    """A batch is closed at the first of messages, bytes and wait_seconds that it reaches. Read as Settings is.

    messages and bytes: how many, and how many bytes of bodies together.
    wait_seconds: time since its first message.
    in_flight: how many batches are in hand at a time.
    """

    messages: int = setting(whole_number, "BRIDGE_BATCH_MESSAGES", 1000, least=1)
    bytes: int = setting(whole_number, "BRIDGE_BATCH_BYTES", 1024 * 1024, least=1)
    wait_seconds: float = setting(number, "BRIDGE_BATCH_WAIT_SECONDS", 0.005, least=0)
    in_flight: int = setting(whole_number, "BRIDGE_IN_FLIGHT", 8, least=1)


@dataclass(frozen=True)
class StreamInput:
    """A stream to be read, or a super stream; bridges share it.

    partitions: of the super stream to be made where there is nothing of that name, 0 for a stream.
    """

    name: str
    partitions: int = 0

    def declare(self, settings: "Settings") -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""
        with asking(settings.rabbitmq_stream_url) as broker:
            can_share, is_there = broker.version >= SHARED_SINCE, broker.is_super_stream(self.name)
        if self.partitions and can_share:
            declare_super_stream(settings.rabbitmq_url, self.name, self.partitions, settings.stream_max_bytes)
            return
        if self.partitions:
            logger.warning("this RabbitMQ is older than 3.11 and has no super streams: %s is a plain stream", self.name)
        # Where there is a super stream, a stream of the same name would be read in its place.
        if not is_there:
            declare_input_stream(settings.rabbitmq_url, self.name, settings.stream_max_bytes)

    def sources(self, settings: "Settings") -> list[Source]:
        """Return what reads its partitions, or itself; raises BrokerUnavailable."""
        names = partitions(settings.rabbitmq_stream_url, self.name)
        super_stream = None if names == [self.name] else self.name
        group = Group(READERS, settings.rabbitmq_url, super_stream)
        buffer_bytes = settings.buffer_bytes // len(names)
        return [
            StreamSource(settings.rabbitmq_stream_url, name, group=group, buffer_bytes=buffer_bytes) for name in names
        ]


@dataclass(frozen=True)
class QueueInput:
    """A queue to be read."""

    name: str

    def declare(self, settings: "Settings") -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""
        declare_queue(settings.rabbitmq_url, self.name)

    def sources(self, settings: "Settings") -> list[Source]:
        """Return what reads it, two batches ahead of what is worked on."""
        # What is in hand counts too, since it is acknowledged afterwards.
        prefetch = (2 + settings.limits.in_flight) * settings.limits.messages
        return [QueueSource(settings.rabbitmq_url, self.name, prefetch=prefetch, buffer_bytes=settings.buffer_bytes)]


def _reviews() -> StreamInput | QueueInput:
    match (os.environ.get("BRIDGE_SOURCE") or "stream:reviews").split(":", 1):
        case ["stream", name] if name:
            count = whole_number("STREAM_PARTITIONS", 0, least=0, most=MAX_PARTITIONS)
            return StreamInput(_ascii("BRIDGE_SOURCE", name), count)
        case ["queue", name] if name:
            return QueueInput(name)
    raise SettingsError("BRIDGE_SOURCE must be stream:<name> or queue:<name>, for example stream:reviews")


def _ascii(variable: str, name: str) -> str:
    """Return the name of a stream; rstream counts its characters where the broker counts bytes."""
    if not name.isascii():
        raise SettingsError(f"{variable}: the name of a stream must be ASCII, not {name!r}")
    return name


def _amqp_url() -> str:
    return amqp_url() or "amqp://guest:guest@127.0.0.1:5672/"


@dataclass(frozen=True)
class Settings:
    """What is not given is read from the environment; raises SettingsError. labels: a stream, empty to read none."""

    rabbitmq_url: str = setting(_amqp_url)
    rabbitmq_stream_url: str = setting(lambda: stream_url(_amqp_url()))
    gateway_url: str = setting(lambda: os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    reviews: StreamInput | QueueInput = field(default_factory=_reviews)
    labels: str = setting(lambda: _ascii("BRIDGE_LABELS", os.environ.get("BRIDGE_LABELS", "labels")))
    retrain_token: str | None = setting(read_secret, "retrain-token", "RETRAIN_TOKEN")
    stream_max_bytes: int = setting(whole_number, "STREAM_MAX_BYTES", 5_000_000_000, least=1)
    limits: BatchLimits = field(default_factory=BatchLimits)
    reply_prefix: str = setting(lambda: os.environ.get("BRIDGE_REPLY_PREFIX", ""))
    buffer_bytes: int = setting(whole_number, "BRIDGE_BUFFER_BYTES", 8 * 1024 * 1024, least=1)
    function_timeout_seconds: float = setting(number, "BRIDGE_FUNCTION_TIMEOUT_SECONDS", 30, least=0.1)
    drain_seconds: float = setting(number, "BRIDGE_DRAIN_SECONDS", DRAIN_SECONDS, least=0.1)

    @property
    def inputs(self) -> list[StreamInput | QueueInput]:
        """What is read: the reviews and, where they are read, the labels."""
        return [self.reviews, StreamInput(self.labels)] if self.labels else [self.reviews]

    def declare_outputs(self) -> None:
        """Declare the streams that the bridge writes, where they are missing; raises BrokerUnavailable."""
        declare_streams(self.rabbitmq_url, [PREDICTIONS, REJECTED], self.stream_max_bytes)

    def declare(self) -> None:
        """Declare at the broker what the bridge reads and writes, where it is missing; raises BrokerUnavailable."""
        self.declare_outputs()
        for each in self.inputs:
            each.declare(self)

    @cached_property
    def own_queues(self) -> frozenset[str]:
        """The streams and queues that are the system's own, but for partitions."""
        found = {PREDICTIONS, REJECTED, ALERTS}
        for each in self.inputs:
            found |= {each.name, dead_letter_queue(each.name), lock_queue(each.name)}
        return frozenset(found)

    def may_reply_to(self, queue: str) -> bool:
        """Return whether a sender may have replies sent there, if it is no partition of what is read."""
        # RabbitMQ 3.10 closes the connection at one that it can't decode.
        no_queue = queue.startswith(NO_QUEUES) and not self.reply_prefix.startswith(NO_QUEUES)
        return queue.startswith(self.reply_prefix) and queue not in self.own_queues and not no_queue
