"""What the bridge can read: each kind is declared, read and remembered in its own way."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.pipeline import BatchLimits, OffsetStore
from contracts.names import PREDICTIONS, REJECTED
from messages.ports import Source
from messages.sources import QueueSource, StreamSource
from messages.topology import declare_queue, declare_streams


@dataclass(frozen=True)
class Input(ABC):
    """What is read; `name` is what the broker calls it."""

    name: str

    @abstractmethod
    def declare(self, url: str, stream_max_bytes: int) -> None:
        """Declare it where it is missing; raises BrokerUnavailable."""

    @abstractmethod
    def source(self, url: str, limits: BatchLimits, in_flight: int) -> Source:
        """Return what reads it, at most two batches ahead of what is worked on."""

    @abstractmethod
    def offsets(self, records: OffsetStore) -> OffsetStore:
        """Return where is remembered how far it is done, of which `records` is one possibility."""


class StreamInput(Input):
    """A stream: the records remember how far it is done."""

    def declare(self, url: str, stream_max_bytes: int) -> None:
        """See Input."""
        declare_streams(url, [self.name], stream_max_bytes)

    def source(self, url: str, limits: BatchLimits, in_flight: int) -> Source:  # noqa: ARG002 - see QueueInput
        """See Input."""
        return StreamSource(url, self.name, prefetch=limits.messages * 2)

    def offsets(self, records: OffsetStore) -> OffsetStore:
        """See Input."""
        return records


class QueueInput(Input):
    """A queue: the broker itself remembers what is done."""

    def declare(self, url: str, stream_max_bytes: int) -> None:  # noqa: ARG002 - it is no stream
        """See Input."""
        declare_queue(url, self.name)

    def source(self, url: str, limits: BatchLimits, in_flight: int) -> Source:
        """See Input."""
        # What is worked on counts too, since it is acknowledged afterwards.
        return QueueSource(url, self.name, prefetch=limits.messages * (in_flight + 2))

    def offsets(self, records: OffsetStore) -> OffsetStore:  # noqa: ARG002 - they are not asked
        """See Input."""
        return _RememberedByBroker()


class _RememberedByBroker(OffsetStore):
    def offset(self, name: str) -> int | None:  # noqa: ARG002 - as for every name
        return None

    def store_offset(self, name: str, offset: int) -> None:
        pass


def declare(url: str, inputs: Iterable[Input], stream_max_bytes: int) -> None:
    """Declare what the bridge reads and writes, where it is missing; raises BrokerUnavailable."""
    declare_streams(url, (PREDICTIONS, REJECTED), stream_max_bytes)
    for each in inputs:
        each.declare(url, stream_max_bytes)
