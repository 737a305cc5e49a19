"""The pipeline on the in-memory broker: batches, the order of conclusions and offsets, turns, abandonment."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from bridge.pipeline import EXPLAINED_TIMES, IN_HAND_PER_SLOT, Handled, Handler, Pipeline
from bridge.progress import StreamProgress
from bridge.settings import BatchLimits
from contracts.records import StoredOffset
from deploy.runner import wait_until
from messages.ports import BrokerUnavailable, Epoch, Message, Position, Progress, Superseded
from messages.twin import MemoryBroker, MemorySource
from process.retry import Abandoned
from records import RecordsUnavailable
from tests.unit.offsets import HastyRetry, MemoryOffsets


class Running:
    """A pipeline that runs in a thread."""

    def __init__(
        self,
        broker: MemoryBroker,
        offsets: MemoryOffsets,
        handle: Handler,
        source: MemorySource | None = None,
        limits: BatchLimits | None = None,
        slots: threading.Semaphore | None = None,
    ) -> None:
        self.stop, self.give_up = threading.Event(), threading.Event()
        self.source = source or MemorySource(broker, "reviews")
        limits = limits or BatchLimits()
        retry = HastyRetry(self.give_up)
        progress = StreamProgress(self.source.name, offsets, retry)
        slots = slots or threading.Semaphore(limits.in_flight)
        self.pipeline = Pipeline(self.source, handle, progress, retry, self.stop, limits, slots)
        self.thread = threading.Thread(target=self.pipeline.run)
        self.thread.start()

    def reads_no_more(self) -> bool:
        """Whether it was stopped, and only finishes what is in hand."""
        return self.stop.is_set() and self.pipeline._handlers._shutdown

    def end(self, timeout_seconds: float = 10) -> None:
        self.stop.set()
        self.thread.join(timeout_seconds)
        assert not self.thread.is_alive()


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    yield MemoryBroker()


def fill(broker: MemoryBroker, count: int, body: bytes = b"x") -> None:
    for _ in range(count):
        broker.put("reviews", Message(0, "", body))


def wait_for(condition: threading.Condition, predicate: Callable[[], bool]) -> None:
    with condition:
        assert condition.wait_for(predicate, 10)


class Recorder:
    """A handler that notes its batches, in the order they come and in that they are concluded, and can hold them back.

    gates: by the first position of a batch, what its handling waits for; conclusion_gates: what its conclusion does.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.concluded: list[int] = []
        self.changed = threading.Condition()
        self.gates: dict[int, threading.Event] = {}
        self.conclusion_gates: dict[int, threading.Event] = {}
        self.handled_now = 0
        self.most_handled_at_a_time = 0
        self.in_hand = 0
        self.most_in_hand = 0

    def __call__(self, messages: list[Message]) -> Handled:
        positions = [message.position for message in messages]
        with self.changed:
            self.batches.append(positions)
            self.in_hand += 1
            self.most_in_hand = max(self.in_hand, self.most_in_hand)
            self.handled_now += 1
            self.most_handled_at_a_time = max(self.handled_now, self.most_handled_at_a_time)
            self.changed.notify_all()
        if gate := self.gates.get(positions[0]):
            gate.wait(10)
        with self.changed:
            self.handled_now -= 1
        return Handled(frozenset(), lambda: self.conclude(positions))

    def conclude(self, positions: list[int]) -> None:
        if gate := self.conclusion_gates.get(positions[0]):
            gate.wait(10)
        with self.changed:
            self.concluded += positions
            self.in_hand -= 1
            self.changed.notify_all()

    def hold(self, position: int) -> threading.Event:
        """Hold back the batch that begins there until the event is set."""
        return self.gates.setdefault(position, threading.Event())

    def seen(self) -> list[int]:
        return sorted(position for batch in self.batches for position in batch)


def has_concluded(handler: Recorder, count: int) -> bool:
    return len(handler.concluded) >= count


def has_seen(handler: Recorder, count: int) -> bool:
    return len(handler.seen()) >= count


@pytest.mark.parametrize(
    ("body", "messages_a_batch"),
    [
        (b'{"text": "good"}', 40),
        (b'{"text": "it explains a lot, caf\\u00e9"}', 40),
        (b'{"text": "good", "explain": true}', 2),
        (b'{"explain":true,"text":"good"}', 2),
        (rb'{"text": "good", "\u0065xplain": true}', 2),
        (rb'{"text": "good", "e\u0078plain": true}', 2),
    ],
)
def test_messages_whose_answers_are_explained_are_few_in_a_batch(
    broker: MemoryBroker, body: bytes, messages_a_batch: int
) -> None:
    """Their answers are longer than they are: all those that are in hand must fit into memory."""
    fill(broker, 40, body)
    handler = Recorder()
    running = Running(broker, MemoryOffsets(), handler, limits=BatchLimits(bytes=2 * EXPLAINED_TIMES * len(body)))
    wait_for(handler.changed, lambda: has_concluded(handler, 40))
    running.end()
    assert max(map(len, handler.batches)) == messages_a_batch


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
        broker.put("reviews", Message(0, "", body))
    handler = Recorder()
    running = Running(broker, MemoryOffsets(), handler, limits=BatchLimits(bytes=100, wait_seconds=0.01))
    wait_for(handler.changed, lambda: len(handler.seen()) == 4)
    running.end()
    assert sorted(handler.batches) == [[0, 1], [2], [3]]


def test_a_pipeline_with_nothing_in_hand_hands_over_what_it_has(broker: MemoryBroker) -> None:
    handler = Recorder()
    running = Running(broker, MemoryOffsets(), handler, limits=BatchLimits(messages=10, wait_seconds=3600))
    for count in (1, 2, 3):
        fill(broker, 1)
        wait_for(handler.changed, partial(has_concluded, handler, count))
    running.end()
    assert handler.batches == [[0], [1], [2]]


class WatchedSource(MemorySource):
    """Tells how many messages were read."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        super().__init__(broker, stream)
        self.taken = 0
        self.opened = 0

    def open(self, progress: Progress) -> None:
        super().open(progress)
        self.opened += 1

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        messages = super().read(limit, timeout_seconds)
        self.taken += len(messages)
        return messages

    def has_taken(self, count: int) -> bool:
        return self.taken >= count


def fill_one_by_one(broker: MemoryBroker, source: WatchedSource, count: int) -> None:
    """Put messages on the stream, each once the one before it is read."""
    for _ in range(count):
        expected = source.taken + 1
        fill(broker, 1)
        assert wait_until(partial(source.has_taken, expected), 10)


def test_a_batch_fills_while_another_is_in_hand(broker: MemoryBroker) -> None:
    source, handler = WatchedSource(broker, "reviews"), Recorder()
    gate = handler.hold(0)
    limits = BatchLimits(messages=3, wait_seconds=3600, in_flight=2)
    running = Running(broker, MemoryOffsets(), handler, source, limits)
    fill_one_by_one(broker, source, 4)
    wait_for(handler.changed, lambda: len(handler.batches) == 2)
    assert handler.batches == [[0], [1, 2, 3]]
    gate.set()
    running.end()


def test_a_batch_that_does_not_fill_is_handed_over_after_its_time(broker: MemoryBroker) -> None:
    source, handler = WatchedSource(broker, "reviews"), Recorder()
    gate = handler.hold(0)
    limits = BatchLimits(messages=3, wait_seconds=0.01, in_flight=2)
    running = Running(broker, MemoryOffsets(), handler, source, limits)
    fill_one_by_one(broker, source, 2)
    wait_for(handler.changed, lambda: len(handler.batches) == 2)
    assert handler.batches == [[0], [1]]
    gate.set()
    running.end()


def test_a_batch_fills_no_longer_once_nothing_else_is_in_hand(broker: MemoryBroker) -> None:
    source, handler = WatchedSource(broker, "reviews"), Recorder()
    gate = handler.hold(0)
    limits = BatchLimits(messages=3, wait_seconds=3600, in_flight=2)
    running = Running(broker, MemoryOffsets(), handler, source, limits)
    fill_one_by_one(broker, source, 2)
    assert handler.batches == [[0]]
    gate.set()
    wait_for(handler.changed, lambda: handler.concluded == [0, 1])
    running.end()


def test_a_stop_waits_for_no_batch_to_fill(broker: MemoryBroker) -> None:
    source, handler, offsets = WatchedSource(broker, "reviews"), Recorder(), MemoryOffsets()
    gate = handler.hold(0)
    limits = BatchLimits(messages=3, wait_seconds=3600, in_flight=2)
    running = Running(broker, offsets, handler, source, limits)
    fill_one_by_one(broker, source, 2)
    running.stop.set()
    gate.set()
    running.end()
    assert (handler.batches, offsets.stored) == ([[0]], [0])


def test_batches_are_concluded_in_the_order_they_were_read_and_the_offset_waits_for_the_slowest(
    broker: MemoryBroker,
) -> None:
    fill(broker, 6)
    handler, offsets = Recorder(), MemoryOffsets()
    gates = [handler.hold(position) for position in (0, 2, 4)]
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=2, in_flight=3))
    wait_for(handler.changed, lambda: len(handler.batches) == 3)
    gates[2].set()
    gates[1].set()
    assert (handler.concluded, offsets.stored) == ([], [])
    gates[0].set()
    running.end()
    assert handler.concluded == list(range(6))
    assert offsets.stored == sorted(offsets.stored)
    assert offsets.stored[-1] == 5
    assert sorted(running.source.finished) == list(range(6))


def test_behind_a_batch_that_is_stuck_others_are_handled_until_so_many_wait_for_it(broker: MemoryBroker) -> None:
    in_flight = 2
    most = in_flight * IN_HAND_PER_SLOT
    fill(broker, most + 1)
    handler = Recorder()
    gate = handler.hold(0)
    running = Running(broker, MemoryOffsets(), handler, limits=BatchLimits(messages=1, in_flight=in_flight))
    wait_for(handler.changed, lambda: handler.handled_now == 1 and len(handler.batches) == most)
    assert handler.concluded == []
    gate.set()
    wait_for(handler.changed, lambda: handler.concluded == list(range(most + 1)))
    running.end()
    assert handler.most_in_hand == most


class Key(str):
    """A key that can be watched."""


class PassingSource(MemorySource):
    """Keeps nothing of what it hands over, and watches what becomes of it."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        super().__init__(broker, stream)
        self.watched: list[weakref.ref[Key]] = []

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        messages = [message._replace(key=Key(message.key)) for message in super().read(limit, timeout_seconds)]
        self.watched += [weakref.ref(message.key) for message in messages if isinstance(message.key, Key)]
        return messages


def test_messages_that_are_handled_are_let_go_though_they_wait_for_their_turn(broker: MemoryBroker) -> None:
    fill(broker, 4)
    source, handler = PassingSource(broker, "reviews"), Recorder()
    gate = handler.hold(0)
    running = Running(broker, MemoryOffsets(), handler, source, limits=BatchLimits(messages=1, in_flight=2))

    def kept() -> list[bool]:
        return [watched() is not None for watched in source.watched]

    wait_for(handler.changed, lambda: len(handler.batches) == 4)
    # The reader may hold on to the last one until it reads on.
    assert wait_until(lambda: kept()[:3] == [True, False, False], 10)
    gate.set()
    running.end()
    assert handler.concluded == list(range(4))


def test_no_offset_is_stored_of_what_is_handled_and_not_concluded(broker: MemoryBroker) -> None:
    fill(broker, 6)
    handler, offsets = Recorder(), MemoryOffsets()
    gate = handler.conclusion_gates[2] = threading.Event()
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=2, in_flight=3))
    wait_for(handler.changed, lambda: len(handler.batches) == 3 and handler.concluded == [0, 1])
    assert wait_until(lambda: bool(offsets.stored), 10)
    assert offsets.stored == [1]
    gate.set()
    running.end()
    assert offsets.stored[-1] == 5


class SlowOffsets(MemoryOffsets):
    """Holds the first offset back."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def store_offset(self, stored: StoredOffset, owner: str, last: int | None) -> bool:
        self.gate.wait(10)
        return super().store_offset(stored, owner, last)


def test_what_is_handled_while_an_offset_is_stored_is_stored_at_once(broker: MemoryBroker) -> None:
    fill(broker, 5)
    handler, offsets = Recorder(), SlowOffsets()
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=1, in_flight=5))
    wait_for(handler.changed, lambda: len(handler.batches) == 5)
    offsets.gate.set()
    running.end()
    assert offsets.stored[-1] == 4
    assert len(offsets.stored) <= 2
    assert sorted(running.source.finished) == list(range(5))


class CheckedOffsets(MemoryOffsets):
    """Notes what is stored before all up to it is concluded, and fails now and then."""

    def __init__(self, handler: Recorder, failures: list[bool]) -> None:
        super().__init__()
        self.too_early: list[int] = []
        self._handler = handler
        self._failures = iter(failures)

    def store_offset(self, stored: StoredOffset, owner: str, last: int | None) -> bool:
        if self._handler.concluded != list(range(len(self._handler.concluded))) or (
            stored.offset >= len(self._handler.concluded)
        ):
            self.too_early.append(stored.offset)
        if next(self._failures, False):
            raise RecordsUnavailable("away for a test")
        return super().store_offset(stored, owner, last)


class Course(NamedTuple):
    """What becomes of a batch: how long it takes, and how often its handling and its conclusion fail before."""

    seconds: float
    failures: int
    conclusion_failures: int


COURSES = st.builds(Course, st.sampled_from([0.0, 0.0005, 0.001, 0.003]), st.integers(0, 2), st.integers(0, 2))


class Unsteady(Recorder):
    """Takes its time, and tries again what fails."""

    def __init__(self, courses: list[Course]) -> None:
        super().__init__()
        self._courses = courses
        self._retry = HastyRetry()

    def _attempts(self, failures: int, seconds: float) -> None:
        attempts = iter(range(failures))

        def attempt() -> None:
            time.sleep(seconds)  # the duration is what is tested
            if next(attempts, None) is not None:
                raise RecordsUnavailable("away for a test")

        self._retry(attempt, RecordsUnavailable)

    def __call__(self, messages: list[Message]) -> Handled:
        course = self._courses[messages[0].position % len(self._courses)]
        self._attempts(course.failures, course.seconds)
        return super().__call__(messages)

    def conclude(self, positions: list[int]) -> None:
        course = self._courses[positions[0] % len(self._courses)]
        self._attempts(course.conclusion_failures, course.seconds)
        super().conclude(positions)


@settings(max_examples=20, deadline=None)
@given(
    courses=st.lists(COURSES, min_size=1, max_size=30),
    store_failures=st.lists(st.booleans(), max_size=30),
    batch=st.integers(1, 4),
    in_flight=st.integers(1, 6),
)
def test_however_long_batches_take_and_whatever_fails_they_are_concluded_in_order_and_never_stored_before(
    courses: list[Course], store_failures: list[bool], batch: int, in_flight: int
) -> None:
    broker, handler = MemoryBroker(), Unsteady(courses)
    offsets = CheckedOffsets(handler, store_failures)
    fill(broker, 20)
    limits = BatchLimits(messages=batch, wait_seconds=0, in_flight=in_flight)
    running = Running(broker, offsets, handler, limits=limits)
    wait_for(handler.changed, lambda: len(handler.concluded) >= 20)
    running.end()
    assert handler.concluded == list(range(20))
    assert offsets.too_early == []
    assert offsets.stored == sorted(set(offsets.stored))
    assert offsets.stored[-1] == 19
    assert handler.most_handled_at_a_time <= in_flight
    assert handler.most_in_hand <= in_flight * IN_HAND_PER_SLOT


def test_a_handler_that_gives_up_leaves_its_batch_and_all_later_ones_for_the_next_start(
    broker: MemoryBroker,
) -> None:
    fill(broker, 6)
    offsets = MemoryOffsets()

    class GivesUp(Recorder):
        def __call__(self, messages: list[Message]) -> Handled:
            if messages[0].position == 2:
                raise Abandoned
            return super().__call__(messages)

    first = GivesUp()
    running = Running(broker, offsets, first, limits=BatchLimits(messages=2, in_flight=1))
    running.thread.join(10)
    running.end()
    assert (offsets.stored, first.concluded) == ([1], [0, 1])
    second = Recorder()
    running = Running(broker, offsets, second, limits=BatchLimits(messages=2, in_flight=1))
    wait_for(second.changed, lambda: len(second.seen()) == 4)
    running.end()
    assert second.seen() == [2, 3, 4, 5]


@pytest.mark.parametrize("in_conclusion", [False, True])
def test_behind_a_batch_that_is_given_up_none_is_concluded(broker: MemoryBroker, in_conclusion: bool) -> None:
    fill(broker, 3)
    offsets = MemoryOffsets()

    class GivesUp(Recorder):
        def __call__(self, messages: list[Message]) -> Handled:
            handled = super().__call__(messages)
            if messages[0].position == 0 and not in_conclusion:
                raise Abandoned
            return handled

        def conclude(self, positions: list[int]) -> None:
            if positions[0] == 0:
                raise Abandoned
            super().conclude(positions)

    handler = GivesUp()
    gate = handler.hold(0)
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=1, in_flight=3))
    wait_for(handler.changed, lambda: len(handler.batches) == 3)
    gate.set()
    running.thread.join(10)
    running.end()
    assert (handler.concluded, offsets.stored, running.source.finished) == ([], [], [])


class QueueLike(MemorySource):
    """Its messages have no place in a stream."""

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        return [message._replace(place=None) for message in super().read(limit, timeout_seconds)]


def test_the_source_is_told_what_is_finished_and_what_was_bad_and_of_a_queue_no_offset_is_stored(
    broker: MemoryBroker,
) -> None:
    def handle(messages: list[Message]) -> Handled:
        return Handled(frozenset(each.position for each in messages if each.body == b"bad"), lambda: None)

    for body in (b"good", b"bad", b"good"):
        broker.put("reviews", Message(0, "", body))
    source, offsets = QueueLike(broker, "reviews"), MemoryOffsets()
    running = Running(broker, offsets, handle, source)
    assert wait_until(lambda: len(source.finished) == 3, 10)
    running.end()
    assert (source.rejected, offsets.stored) == ({1}, [])


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


def test_what_is_in_hand_when_reading_breaks_off_is_finished_and_not_read_again(broker: MemoryBroker) -> None:
    fill(broker, 4)
    source, handler, offsets = WatchedSource(broker, "reviews"), Recorder(), MemoryOffsets()
    gate = handler.hold(0)
    running = Running(broker, offsets, handler, source, BatchLimits(messages=2, in_flight=2))
    wait_for(handler.changed, lambda: len(handler.batches) == 2)
    broker.set_available(False)
    assert wait_until(lambda: not running.pipeline.connected, 10)
    broker.set_available(True)
    fill(broker, 2)
    assert source.opened == 1
    gate.set()
    wait_for(handler.changed, lambda: len(handler.concluded) == 6)
    running.end()
    assert source.opened == 2
    assert sorted(handler.batches) == [[0, 1], [2, 3], [4, 5]]


class SharedSource(WatchedSource):
    """Is taken over by another reader while `superseded` is set, and has its turn again behind what that one stored."""

    def __init__(self, broker: MemoryBroker, stream: str, offsets: MemoryOffsets) -> None:
        super().__init__(broker, stream)
        self.superseded = threading.Event()
        self.told = threading.Event()
        self.stood_by = threading.Event()
        self.stored_before: list[int] = []
        self._offsets = offsets
        self._progress: Progress | None = None

    def open(self, progress: Progress) -> None:
        super().open(progress)
        self._progress = progress

    def read(self, limit: int, timeout_seconds: float) -> list[Message]:
        if self.superseded.is_set() and not self.told.is_set():
            self.told.set()
            raise Superseded(f"{self.name}: another bridge reads it from now on")
        if self.stood_by.is_set():
            if self.superseded.is_set():
                with self._broker.changed:
                    self._broker.changed.wait_for(lambda: not self.superseded.is_set(), timeout_seconds)
                return []
            if self._progress:
                self.stood_by.clear()
                self.open(self._progress)
        return super().read(limit, timeout_seconds)

    def stand_by(self) -> None:
        self.stored_before = list(self._offsets.stored)
        self.stood_by.set()

    def give_back(self) -> None:
        with self._broker.changed:
            self.superseded.clear()
            self._broker.changed.notify_all()


def test_who_is_superseded_stands_by_when_all_in_hand_is_concluded_and_stored_and_goes_on_at_its_next_turn(
    broker: MemoryBroker,
) -> None:
    fill(broker, 4)
    offsets, handler = MemoryOffsets(), Recorder()
    source = SharedSource(broker, "reviews", offsets)
    gate = handler.hold(0)
    running = Running(broker, offsets, handler, source, BatchLimits(messages=2, in_flight=2))
    wait_for(handler.changed, lambda: len(handler.batches) == 2)
    source.superseded.set()
    assert source.told.wait(10)
    assert not source.stood_by.is_set()
    gate.set()
    assert source.stood_by.wait(10)
    assert source.stored_before[-1] == 3
    assert handler.concluded == [0, 1, 2, 3]
    assert running.pipeline.connected, "it waits for its turn"
    # The other one does the next two.
    fill(broker, 5)
    other = StreamProgress("reviews", offsets, HastyRetry())
    position = other.take()
    assert position
    other.store(position._replace(offset=5))
    source.give_back()
    wait_for(handler.changed, lambda: len(handler.concluded) == 7)
    running.end()
    assert handler.concluded == [0, 1, 2, 3, 6, 7, 8]
    assert offsets.stored[-1] == 8


def test_who_is_superseded_and_stopped_lets_no_other_go_on_before_all_in_hand_is_done(broker: MemoryBroker) -> None:
    fill(broker, 2)
    offsets, handler = MemoryOffsets(), Recorder()
    source = SharedSource(broker, "reviews", offsets)
    gate = handler.hold(0)
    running = Running(broker, offsets, handler, source, BatchLimits(messages=2, in_flight=2))
    wait_for(handler.changed, lambda: len(handler.batches) == 1)
    source.superseded.set()
    assert source.told.wait(10)
    running.stop.set()
    assert wait_until(running.reads_no_more, 10)
    assert not source.stood_by.is_set()
    gate.set()
    running.end()
    assert offsets.stored == [1]
    # Closing lets the other one go on.
    with pytest.raises(BrokerUnavailable, match="not connected"):
        source.read(1, 0)


def test_a_stop_while_reading_is_interrupted_opens_nothing_and_stores_what_is_in_hand(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.pipeline.FIRST_WAIT_SECONDS", 0.0)
    fill(broker, 2)
    source, handler, offsets = WatchedSource(broker, "reviews"), Recorder(), MemoryOffsets()
    gate = handler.hold(0)
    running = Running(broker, offsets, handler, source)
    wait_for(handler.changed, lambda: len(handler.batches) == 1)
    broker.set_available(False)
    assert wait_until(lambda: not running.pipeline.connected, 10)
    broker.set_available(True)
    running.stop.set()
    assert wait_until(running.reads_no_more, 10)
    gate.set()
    running.end()
    assert (source.opened, offsets.stored) == (1, [1])


class HeldSource(WatchedSource):
    """Opens once it may."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        super().__init__(broker, stream)
        self.may_open = threading.Event()
        self.may_open.set()
        self.asked = 0

    def open(self, progress: Progress) -> None:
        self.asked += 1
        assert self.may_open.wait(10)
        super().open(progress)


def test_whose_offset_was_taken_over_stores_nothing_more_and_reads_on_from_where_the_other_is(
    broker: MemoryBroker,
) -> None:
    fill(broker, 6)
    source, handler, offsets = HeldSource(broker, "reviews"), Recorder(), MemoryOffsets()
    gates = [handler.hold(position) for position in (2, 4)]
    running = Running(broker, offsets, handler, source, BatchLimits(messages=2, in_flight=2))
    wait_for(handler.changed, lambda: len(handler.batches) == 3)
    assert wait_until(lambda: offsets.stored == [1], 10)
    source.may_open.clear()
    other = StreamProgress("reviews", offsets, HastyRetry())
    position = other.take()
    assert position == Position(1, 1, Epoch(1, "reviews"))
    for gate in gates:
        gate.set()
    assert wait_until(lambda: source.asked == 2, 10)
    assert offsets.stored == [1]
    assert source.finished == [0, 1]
    assert not running.pipeline.connected
    other.store(position._replace(offset=3))
    source.may_open.set()
    assert wait_until(lambda: offsets.stored[-1] == 5, 10)
    running.end()
    assert sorted(handler.batches) == [[0, 1], [2, 3], [4, 5], [4, 5]]
    with pytest.raises(Superseded):
        other.store(position._replace(offset=4))
    assert offsets.stored == [1, 3, 5]


class Permit(threading.Event):
    """A gate that opens to whoever gets a permit."""

    def __init__(self, permits: threading.Semaphore) -> None:
        super().__init__()
        self._permits = permits

    def wait(self, timeout: float | None = None) -> bool:
        return self._permits.acquire(timeout=timeout)


class Shared(Recorder):
    """Waits for a permit at each batch, of whichever pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)

    def __call__(self, messages: list[Message]) -> Handled:
        self.gates[messages[0].position] = Permit(self.permits)
        return super().__call__(messages)


def test_pipelines_that_share_slots_handle_no_more_at_a_time_than_there_are_and_all_come_to_their_end() -> None:
    handler, slots = Shared(), threading.Semaphore(3)
    running = []
    for stream in ("a", "b"):
        broker = MemoryBroker()
        for _ in range(20):
            broker.put(stream, Message(0, "", b"x"))
        limits = BatchLimits(messages=1, in_flight=3)
        running.append(Running(broker, MemoryOffsets(), handler, MemorySource(broker, stream), limits, slots))
    wait_for(handler.changed, lambda: len(handler.batches) == 3)
    for _ in range(40):
        handler.permits.release()
    wait_for(handler.changed, lambda: len(handler.concluded) == 40)
    for each in running:
        each.end()
    assert handler.most_handled_at_a_time == 3
    assert sorted(handler.concluded) == sorted([*range(20)] * 2)


def test_a_pipeline_that_waits_for_a_slot_ends_at_a_stop_and_leaves_its_batch(broker: MemoryBroker) -> None:
    fill(broker, 1)
    slots, source = threading.Semaphore(0), WatchedSource(broker, "reviews")
    handler, offsets = Recorder(), MemoryOffsets()
    running = Running(broker, offsets, handler, source, slots=slots)
    assert wait_until(lambda: source.taken == 1, 10)
    running.stop.set()
    # What holds it is finished at a stop too.
    slots.release()
    running.end()
    assert (handler.batches, offsets.stored) == ([], [])


def test_all_slots_are_free_again_whatever_became_of_the_batches(broker: MemoryBroker) -> None:
    fill(broker, 3)
    slots = threading.Semaphore(3)

    def handle(messages: list[Message]) -> Handled:
        if messages[0].position == 1:
            raise Abandoned
        return Handled(frozenset(), lambda: None)

    running = Running(broker, MemoryOffsets(), handle, limits=BatchLimits(messages=1, in_flight=3), slots=slots)
    running.thread.join(10)
    running.end()
    assert [slots.acquire(timeout=0) for _ in range(4)] == [True, True, True, False]


def lag(running: Running) -> float | None:
    running.pipeline.measure_lag()
    return REGISTRY.get_sample_value("bridge_lag_messages", {"source": "reviews"})


def test_the_lag_is_what_is_not_done_and_none_where_another_bridge_reads(broker: MemoryBroker) -> None:
    class Elsewhere(MemorySource):
        def end(self) -> int | None:
            return None

    fill(broker, 5)
    handler, offsets = Recorder(), MemoryOffsets()
    gate = handler.hold(0)
    running = Running(broker, offsets, handler)
    wait_for(handler.changed, lambda: bool(handler.batches))
    assert lag(running) == 5
    gate.set()
    running.end()
    fill(broker, 1)
    handler = Recorder()
    gate = handler.hold(5)
    running = Running(broker, offsets, handler)
    wait_for(handler.changed, lambda: bool(handler.batches))
    assert lag(running) == 1
    gate.set()
    running.end()
    fill(broker, 1)
    running = Running(broker, offsets, Recorder(), Elsewhere(broker, "reviews"))
    running.end()
    assert lag(running) == 0


class DyingSource(MemorySource):
    """Opens, and then breaks off at once, as a stream does in which the broker finds an entry that it can't send."""

    def __init__(self, broker: MemoryBroker, stream: str) -> None:
        super().__init__(broker, stream)
        self.opened = 0
        self.dying = True

    def open(self, progress: Progress) -> None:
        super().open(progress)
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

    def handle(messages: list[Message]) -> Handled:
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
    for last in (False, True):
        handler = Recorder()
        running = Running(
            broker, offsets, handler, limits=BatchLimits(messages=batch, wait_seconds=0, in_flight=in_flight)
        )
        enough = count - len(handled) if last else min(stop_after, count)
        wait_for(handler.changed, partial(has_seen, handler, enough))
        running.end()
        assert handler.concluded == handler.seen()
        assert sorted(running.source.finished) == handler.seen()
        handled += handler.seen()
    assert handled == list(range(count))
    assert offsets.stored == sorted(set(offsets.stored))


def test_publishing_to_a_broker_that_is_away_is_said(broker: MemoryBroker) -> None:
    broker.set_available(False)
    with pytest.raises(BrokerUnavailable):
        broker.publish([])
