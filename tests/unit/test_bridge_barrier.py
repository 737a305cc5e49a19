"""The bug barrier: what nobody foresaw costs one message its answer, and says so; what waits keeps no bodies."""

import gc
import json
import logging
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bridge.handlers import Review, ReviewHandler, rejected
from contracts.codec import encode
from contracts.limits import MAX_PARKED_CHARACTERS, MAX_REASON_CHARACTERS
from contracts.records import PredictionRecord, RejectedRecord
from deploy.runner import wait_until
from messages.ports import Appended, Message
from messages.twin import MemoryBroker
from process.retry import Abandoned
from records.mongo import RecordTooLarge
from tests.unit.offsets import HastyRetry, MemoryOffsets
from tests.unit.test_bridge_labels import TAKEN, labels
from tests.unit.test_bridge_pipeline import Running
from tests.unit.test_bridge_reviews import (
    NOWHERE,
    Answer,
    FunctionServer,
    ListRecords,
    in_stream,
    message,
    positive,
    refusal,
    reviews,
    serve,
)

__all__ = ["serve"]  # a fixture
POISON = b"poison"
MAX_NOTICE_BYTES = 100_000


class ParsesBadly(ReviewHandler):
    """Has a bug in reading a message."""

    def parse(self, message: Message) -> Review:
        return Review(str(1 // (message.body != POISON)), "") if message.body == POISON else super().parse(message)


class RecordsBadly(ListRecords):
    """Can't write a record."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def insert_predictions(self, records: Sequence[PredictionRecord]) -> dict[str, PredictionRecord]:
        if any(record.text == POISON.decode() for record in records):
            raise self.error
        return super().insert_predictions(records)


class ParksBadly(ListRecords):
    """Has a bug in parking."""

    def insert_rejected(self, records: Sequence[RejectedRecord]) -> None:
        raise ZeroDivisionError(len(records))


def parses_badly(server: FunctionServer, records: ListRecords, broker: MemoryBroker) -> ReviewHandler:
    return ParsesBadly("reviews", server.function, records, broker, HastyRetry(), broker)


def bugs() -> float:
    return REGISTRY.get_sample_value("bridge_bugs_total", {"source": "reviews"}) or 0


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (ListRecords(), "a bug of the bridge: ZeroDivisionError: integer division or modulo by zero"),
        (RecordsBadly(OverflowError("no such number")), "a bug of the bridge: OverflowError: no such number"),
        (RecordsBadly(RecordTooLarge("17 MB")), "a bug of the bridge: records.mongo.RecordTooLarge: 17 MB"),
    ],
)
def test_a_bug_at_one_message_parks_that_one_and_the_rest_is_answered_in_order(
    records: ListRecords, reason: str, serve: Callable[[Answer], FunctionServer], caplog: pytest.LogCaptureFixture
) -> None:
    server, broker, before = serve(positive), MemoryBroker(), bugs()
    handle = reviews(server.function, records, broker)
    if type(records) is ListRecords:
        handle = parses_badly(server, records, broker)
    messages = [in_stream(n, POISON if n == 5 else b"fine", correlation_id=str(n), reply_to="me") for n in range(9)]
    handled = handle(messages)
    handled.conclude()
    good = [n for n in range(9) if n != 5]
    assert handled.rejected == {5}
    assert [(record.id, record.reason) for record in records.rejected] == [(messages[5].key, reason)]
    assert [record.id for record in records.predictions] == [messages[n].key for n in good]
    assert [each.number for appended in broker.appended.values() for each in appended] == good
    # At least once: a half may repeat what the whole has done before it failed.
    assert {each.correlation_id for each in broker.published if each.to == "me"} == set(map(str, good))
    assert [json.loads(each.body)["reason"] for each in broker.published if each.to == "rejected"] == [reason]
    assert bugs() - before == 1
    (line,) = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert line.getMessage() == f"reviews: a bug at {messages[5].key}, which is parked in rejected"
    assert line.exc_info


def test_every_message_at_which_there_is_a_bug_is_parked_and_the_pipeline_goes_on(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records, offsets = serve(positive), MemoryBroker(), ListRecords(), MemoryOffsets()
    poisoned = {0, 1, 7, 19}
    for n in range(20):
        broker.put("reviews", Message(0, "", POISON if n in poisoned else b"fine"))
    running = Running(broker, offsets, parses_badly(server, records, broker))
    assert wait_until(lambda: offsets.stored[-1:] == [19], 10)
    assert not running.stop.is_set()
    running.end()
    assert {record.offset for record in records.rejected} == poisoned == running.source.rejected
    assert len(records.predictions) == 16


def test_a_bug_in_parking_stops_the_pipeline_and_loses_nothing(serve: Callable[[Answer], FunctionServer]) -> None:
    server, broker, records, offsets = serve(positive), MemoryBroker(), ParksBadly(), MemoryOffsets()
    for body in (b"fine", POISON, b"fine"):
        broker.put("reviews", Message(0, "", body))
    running = Running(broker, offsets, parses_badly(server, records, broker))
    running.thread.join(10)
    assert (running.thread.is_alive(), offsets.stored, running.source.finished) == (False, [], [])
    # It is done at the next start, by a release that has no such bug.
    better = ListRecords()
    running = Running(broker, offsets, parses_badly(server, better, broker))
    assert wait_until(lambda: offsets.stored[-1:] == [2], 10)
    running.end()
    assert [record.offset for record in better.rejected] == [1]
    assert {json.loads(each.body)["offset"] for each in broker.appended["1:reviews"]} == {0, 2}


class AppendsBadly(MemoryBroker):
    """Has a bug in appending answers."""

    def append(self, name: str, messages: Sequence[Appended]) -> None:
        raise ZeroDivisionError(name, messages)


def test_a_bug_in_concluding_stops_the_pipeline_and_loses_nothing(serve: Callable[[Answer], FunctionServer]) -> None:
    server, broker, records, offsets = serve(positive), AppendsBadly(), ListRecords(), MemoryOffsets()
    broker.put("reviews", Message(0, "", b"fine"))
    running = Running(broker, offsets, reviews(server.function, records, broker))
    running.thread.join(10)
    assert (running.thread.is_alive(), offsets.stored, running.source.finished) == (False, [], [])
    assert (len(records.predictions), records.rejected) == (1, [])


def test_what_is_given_up_is_no_bug() -> None:
    give_up = threading.Event()
    give_up.set()
    records = ListRecords()
    with pytest.raises(Abandoned):
        reviews(NOWHERE, records, retry=HastyRetry(give_up))([in_stream(0, b"a"), in_stream(1, b"b")])
    assert records.rejected == []


class Quotes(ReviewHandler):
    """Its bug quotes what can't be encoded, and at length."""

    def parse(self, message: Message) -> Review:
        raise ValueError("\ud800" * 10_000_000 + message.key)


def test_a_bug_that_quotes_anything_is_parked_with_the_beginning_of_it() -> None:
    broker, records = MemoryBroker(), ListRecords()
    assert Quotes("reviews", NOWHERE, records, broker, HastyRetry(), broker)([in_stream(0, b"a")]).rejected == {0}
    assert records.rejected[0].reason == f"a bug of the bridge: ValueError: {'?' * 10_000_000}"[:MAX_REASON_CHARACTERS]


@pytest.mark.parametrize("character", ["\x01", "\x80", "\ue000", "\U0010ffff", "\\"])
def test_a_notice_is_small_whatever_a_label_is(character: str) -> None:
    """Both MongoDB and the broker refuse what is too large for ever: 16 MB, which such labels grew to."""
    records, broker = ListRecords(), MemoryBroker()
    body = encode({"text": "a", "label": character * (8_000_000 // len(encode(character)))})
    assert labels(NOWHERE, records, broker)([message(body, correlation_id="c" * 255)]).rejected == {7}
    assert [len(each.body) < MAX_NOTICE_BYTES for each in broker.published] == [True]
    assert 'the label must be 0, 1, "negative" or "positive"' in records.rejected[0].reason


def test_a_notice_is_small_whatever_its_message_is() -> None:
    largest = message(b"\x01" * 8_000_000, message_id="\x01" * 200, correlation_id="\x01" * 255)
    notice = rejected(largest, "\x01" * 8_000_000)
    assert len(encode(notice)) < MAX_NOTICE_BYTES
    assert (len(notice.reason), len(notice.body)) == (MAX_REASON_CHARACTERS, MAX_PARKED_CHARACTERS)


def sizes_kept(handled: object, apart_from: object) -> list[int]:
    """Return the lengths of all texts and bytes that can be reached from something."""
    seen: set[int] = {id(apart_from)}
    waiting: list[Any] = [handled]
    sizes = []
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | types.ModuleType):
            continue
        seen.add(id(found))
        if isinstance(found, str | bytes):
            sizes.append(len(found))
        elif isinstance(found, types.FunctionType):
            waiting += found.__closure__ or ()
        else:
            waiting += gc.get_referents(found)
    return sizes


def test_of_reviews_that_wait_for_their_turn_only_answers_are_kept(serve: Callable[[Answer], FunctionServer]) -> None:
    # Some are bad at once, some by predict's word.
    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return refusal(413, "too large") if b"odd" in body else positive(body)

    handle = reviews(serve(answer).function)
    bodies = [b"fine" * 2_000, b"odd" * 3_000, b'{"x": "' + b"y" * 9_000 + b'"}']
    handled = handle([in_stream(n, body, reply_to="me") for n, body in enumerate(bodies)])
    sizes = sizes_kept(handled, handle)
    assert handled.rejected == {1, 2}
    assert any(size > 50 for size in sizes), "the answer is not among them: nothing is found"
    assert max(sizes) < 1_000


def test_of_labels_that_wait_for_their_turn_nothing_is_kept(serve: Callable[[Answer], FunctionServer]) -> None:
    server = serve(lambda body: refusal(400, "too odd") if b"odd" in body else TAKEN)
    handle = labels(server.function, ListRecords(), MemoryBroker())
    bodies = [encode({"text": text * 3_000, "label": 1}) for text in ("fine", "odd")]
    handled = handle([message(body)._replace(position=n) for n, body in enumerate(bodies)])
    assert handled.rejected == {1}
    assert max(sizes_kept(handled, handle), default=0) < 1_000
