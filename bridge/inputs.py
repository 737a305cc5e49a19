"""What the bridge can read: each kind is declared, read and remembered in its own way."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.pipeline import OffsetStore
from contracts.names import PREDICTIONS, REJECTED
from messages.ports import Source
from messages.sources import QueueSource, StreamSource
from messages.topology import declare_queue, declare_streams

if TYPE_CHECKING:
    from bridge.settings import Settings


@dataclass(frozen=True)
class Input(ABC):
    """What is read; `name` is what the broker calls it."""

    name: str

    @abstractmethod
    def declare(self, settings: "Settings") -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""

    @abstractmethod
    def reader(self, settings: "Settings", records: OffsetStore) -> tuple[Source, OffsetStore]:
        """Return what reads it, two batches ahead of what is worked on, and what remembers how far it is done."""


class StreamInput(Input):
    """A stream: the records remember how far it is done."""

    def declare(self, settings: "Settings") -> None:
        """See Input."""
        declare_streams(settings.rabbitmq_url, [self.name], settings.stream_max_bytes)

    def reader(self, settings: "Settings", records: OffsetStore) -> tuple[Source, OffsetStore]:
        """See Input."""
        return StreamSource(settings.rabbitmq_url, self.name, prefetch=settings.limits.messages * 2), records


class QueueInput(Input):
    """A queue: the broker itself remembers what is done."""

    def declare(self, settings: "Settings") -> None:
        """See Input."""
        declare_queue(settings.rabbitmq_url, self.name)

    def reader(self, settings: "Settings", records: OffsetStore) -> tuple[Source, OffsetStore]:  # noqa: ARG002 - no use
        """See Input."""
        # What is worked on counts too, since it is acknowledged afterwards.
        prefetch = settings.limits.messages * (settings.in_flight + 2)
        return QueueSource(settings.rabbitmq_url, self.name, prefetch=prefetch), _RememberedByBroker()


class _RememberedByBroker(OffsetStore):
    def offset(self, name: str) -> int | None:  # noqa: ARG002 - as for every name
        return None

    def store_offset(self, name: str, offset: int) -> None:
        pass


def declare(settings: "Settings") -> None:
    """Declare what the bridge reads and writes, where it is missing; raises BrokerUnavailable."""
    declare_streams(settings.rabbitmq_url, (PREDICTIONS, REJECTED), settings.stream_max_bytes)
    for each in settings.inputs:
        each.declare(settings)
