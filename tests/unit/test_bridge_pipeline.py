"""The pipeline on the in-memory broker: batches, order of offsets, abandonment."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from bridge.pipeline import Handler, Pipeline
from bridge.settings import BatchLimits
from deploy.runner import wait_until
from messages.ports import BrokerUnavailable, Message
from messages.twin import MemoryBroker, MemorySource
from process.retry import Abandoned, Retry
from records import RecordsUnavailable


class MemoryOffsets:
    """Offsets in memory; can be taken away for a number of calls."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.failures = 0

    def offset(self, consumer: str) -> int | None:  # noqa: ARG002 - there is one source
        return self.stored[-1] if self.stored else None

    def store_offset(self, consumer: str, offset: int) -> None:  # noqa: ARG002 - there is one source
        if self.failures:
            self.failures -= 1
            raise RecordsUnavailable("away for a test")
        self.stored.append(offset)


class Running:
    """A pipeline that runs in a thread."""

    def __init__(
        self,
        broker: MemoryBroker,
        offsets: MemoryOffsets,
        handle: Handler,
        source: MemorySource | None = None,
        limits: BatchLimits | None = None,
    ) -> None:
        self.stop, self.give_up = threading.Event(), threading.Event()
        self.source = source or MemorySource(broker, "reviews")
        limits = limits or BatchLimits()
        self.pipeline = Pipeline(self.source, handle, offsets, Retry(self.give_up), self.stop, limits)
        self.thread = threading.Thread(target=self.pipeline.run)
        self.thread.start()

    def end(self, timeout_seconds: float = 10) -> None:
        self.stop.set()
        self.thread.join(timeout_seconds)
        assert not self.thread.is_alive()


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    yield MemoryBroker()


def fill(broker: MemoryBroker, count: int, body: bytes = b"x") -> None:
    for _ in range(count):
        broker.append("reviews", Message(0, "", body))


def wait_for(condition: threading.Condition, predicate: Callable[[], bool]) -> None:
    with condition:
        assert condition.wait_for(predicate, 10)


class Recorder:
    """A handler that notes its batches, and can hold them back."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.changed = threading.Condition()
        self.gates: dict[int, threading.Event] = {}

    def __call__(self, messages: list[Message]) -> frozenset[int]:
        positions = [message.position for message in messages]
        with self.changed:
            self.batches.append(positions)
            self.changed.notify_all()
        if gate := self.gates.get(positions[0]):
            gate.wait(10)
        return frozenset()

    def seen(self) -> list[int]:
        return sorted(position for batch in self.batches for position in batch)


def has_seen(handler: Recorder, count: int) -> bool:
    return len(handler.seen()) >= count


def test_a_batch_closes_at_its_number_of_messages(broker: MemoryBroker) -> None:
    fill(broker, 25)
    handler, offsets = Recorder(), MemoryOffsets()
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=10, wait_seconds=0.01))
    wait_for(handler.changed, lambda: len(handler.seen()) == 25)
    running.end()
    assert sorted(map(len, handler.batches)) == [5, 10, 10]
    assert offsets.stored[-1] == 24


def test_a_batch_closes_at_its_bytes_and_a_large_message_goes_alone(broker: MemoryBroker) -> None:
    for body in (b"x" * 40, b"x" * 40, b"x" * 500, b"x" * 40):
        broker.append("reviews", Message(0, "", body))
    handler = Recorder()
    running = Running(broker, MemoryOffsets(), handler, limits=BatchLimits(bytes=100, wait_seconds=0.01))
    wait_for(handler.changed, lambda: len(handler.seen()) == 4)
    running.end()
    assert sorted(handler.batches) == [[0, 1], [2], [3]]


def test_the_offset_waits_for_the_slowest_of_the_batches_before_it(broker: MemoryBroker) -> None:
    fill(broker, 6)
    handler, offsets = Recorder(), MemoryOffsets()
    handler.gates[0] = threading.Event()
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=2, in_flight=3))
    wait_for(handler.changed, lambda: len(handler.batches) == 3)
    assert offsets.stored == []
    handler.gates[0].set()
    running.end()
    assert offsets.stored[-1] == 5
    assert [message.position for message in running.source.finished] == list(range(6))


def test_a_handler_that_gives_up_leaves_its_batch_and_all_later_ones_for_the_next_start(
    broker: MemoryBroker,
) -> None:
    fill(broker, 6)
    offsets = MemoryOffsets()

    def handle(messages: list[Message]) -> frozenset[int]:
        if messages[0].position == 2:
            raise Abandoned
        return frozenset()

    running = Running(broker, offsets, handle, limits=BatchLimits(messages=2, in_flight=1))
    running.thread.join(10)
    running.end()
    assert offsets.stored == [1]
    second = Recorder()
    running = Running(broker, offsets, second, limits=BatchLimits(messages=2, in_flight=1))
    wait_for(second.changed, lambda: len(second.seen()) == 4)
    running.end()
    assert second.seen() == [2, 3, 4, 5]


def test_an_offset_that_can_not_be_stored_is_tried_again(broker: MemoryBroker) -> None:
    fill(broker, 1)
    handler, offsets = Recorder(), MemoryOffsets()
    offsets.failures = 2
    running = Running(broker, offsets, handler)
    wait_for(handler.changed, lambda: bool(handler.batches))
    running.end()
    assert offsets.stored == [0]


def test_reading_resumes_where_it_broke_off(broker: MemoryBroker) -> None:
    fill(broker, 3)
    handler, offsets = Recorder(), MemoryOffsets()
    running = Running(broker, offsets, handler)
    wait_for(handler.changed, lambda: len(handler.seen()) == 3)
    assert running.pipeline.connected
    broker.set_available(False)
    assert wait_until(lambda: not running.pipeline.connected, 10)
    broker.set_available(True)
    fill(broker, 3)
    wait_for(handler.changed, lambda: len(handler.seen()) == 6)
    running.end()
    assert handler.seen() == list(range(6))
    assert offsets.stored[-1] == 5


class DyingSource(MemorySource):
    """Opens, and then breaks off at once, as a stream does in which the broker finds an entry that it can't send."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        super().__init__(broker, stream)
        self.opened = 0
        self.dying = True

    def open(self, after: int | None) -> None:
        super().open(after)
        self.opened += 1

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        if self.dying:
            raise BrokerUnavailable("541 INTERNAL_ERROR")
        return super().read(limit, timeout_seconds)


def errors() -> float:
    return REGISTRY.get_sample_value("bridge_retries_total", {"error": "BrokerUnavailable"}) or 0


def test_a_source_that_dies_right_after_it_opens_is_opened_ever_more_rarely(broker: MemoryBroker) -> None:
    fill(broker, 1)
    source, handler = DyingSource(broker, "reviews"), Recorder()
    earlier_errors = errors()
    running = Running(broker, MemoryOffsets(), handler, source)
    # Waits of at least 0.125, 0.25, 0.5 and 1 second: four attempts take 0.9 to 1.8 seconds.
    started = time.monotonic()
    assert wait_until(lambda: source.opened == 4, 10)
    assert time.monotonic() - started > 0.8
    assert errors() - earlier_errors >= 3
    source.dying = False
    wait_for(handler.changed, lambda: handler.seen() == [0])
    running.end()


def test_a_stop_ends_the_wait_before_the_next_opening(broker: MemoryBroker) -> None:
    source = DyingSource(broker, "reviews")
    running = Running(broker, MemoryOffsets(), Recorder(), source)
    assert wait_until(lambda: source.opened == 4, 10)
    # Now it waits for at least a second.
    running.end(timeout_seconds=0.5)


def test_a_bug_in_a_handler_stops_the_pipeline_instead_of_passing_the_batch_over(broker: MemoryBroker) -> None:
    fill(broker, 1)
    offsets = MemoryOffsets()

    def handle(messages: list[Message]) -> frozenset[int]:
        raise ZeroDivisionError(messages)

    running = Running(broker, offsets, handle)
    running.thread.join(10)
    assert not running.thread.is_alive()
    assert running.stop.is_set(), "the others would run on"
    assert offsets.stored == []


@settings(max_examples=10, deadline=None)
@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 20),
    in_flight=st.integers(1, 5),
    stop_after=st.integers(0, 60),
)
def test_whatever_is_stopped_when_and_started_again_each_message_is_handled_once_and_in_order_finished(
    count: int, batch: int, in_flight: int, stop_after: int
) -> None:
    broker, offsets = MemoryBroker(), MemoryOffsets()
    fill(broker, count)
    handled: list[int] = []
    for _ in range(2):
        handler = Recorder()
        running = Running(
            broker, offsets, handler, limits=BatchLimits(messages=batch, wait_seconds=0, in_flight=in_flight)
        )
        enough = min(stop_after, count) if not handled else count - len(handled)
        wait_for(handler.changed, partial(has_seen, handler, enough))
        running.end()
        handled += handler.seen()
        finished = [message.position for message in running.source.finished]
        assert finished == sorted(finished)
    assert handled == list(range(count))
    assert offsets.stored == sorted(set(offsets.stored))


def test_publishing_to_a_broker_that_is_away_is_said(broker: MemoryBroker) -> None:
    broker.set_available(False)
    with pytest.raises(BrokerUnavailable):
        broker.publish([])
