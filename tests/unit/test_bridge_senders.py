"""Nothing that a sender writes ends a pipeline or holds its offset: each message is answered or parked."""

import json
from collections.abc import Iterator, Sequence

import bson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from rstream import AMQPMessage, Properties

from bridge import pipeline
from bridge.handlers import LabelHandler, ReviewHandler
from bridge.settings import BatchLimits
from contracts.codec import encode, to_documents
from contracts.limits import within_limit
from contracts.names import parse_label
from contracts.predict import Answer as Scored
from contracts.predict import Answers, read_request, read_text
from contracts.records import PredictionRecord, RejectedRecord
from contracts.retrain import LabelsTaken, read_labels_request
from deploy.runner import wait_until
from messages.chunks import Chunk
from messages.ports import Epoch, Message
from messages.stream_source import StreamSource
from messages.twin import MemoryBroker
from tests.unit.offsets import HastyRetry, MemoryOffsets
from tests.unit.senders import ENTRIES, as_json, deep
from tests.unit.test_bridge_pipeline import Running
from tests.unit.test_bridge_reviews import FunctionServer, ListRecords

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_NOTICE_BYTES = 100_000


class BsonRecords(ListRecords):
    """Takes what MongoDB takes."""

    def insert_predictions(self, records: Sequence[PredictionRecord]) -> dict[str, PredictionRecord]:
        assert all(len(bson.encode(document)) < MAX_DOCUMENT_BYTES for document in to_documents(records))
        return super().insert_predictions(records)

    def insert_rejected(self, records: Sequence[RejectedRecord]) -> None:
        assert all(len(bson.encode(document)) < MAX_NOTICE_BYTES for document in to_documents(records))
        super().insert_rejected(records)


def scored(body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Answer as predict does, by its contract; raises where it would refuse."""
    items = read_request(body)
    assert not isinstance(items, str)
    texts = [within_limit(read_text(item)) for item in items]
    return 200, {}, encode(Answers([Scored("positive", 0.75, 3.1) for _ in texts], "v1"))


class Labels:
    """Takes labels as retrain does, by its contract; raises where it would refuse."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        for label in read_labels_request(body).examples or ():
            parse_label(label.label)
            within_limit(label.text)
            bson.encode({"text": label.text, "source": label.source, "id": label.id})
            self.taken += 1
        taken = LabelsTaken(accepted=1, repeated=0, pending=1, ids=["x"], model=None, retrained=False)
        return 202, {}, encode(taken)


@pytest.fixture(scope="module")
def server() -> Iterator[FunctionServer]:
    found = FunctionServer(scored)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that is to end waits for nothing more to come."""
    monkeypatch.setattr(pipeline, "READ_TIMEOUT_SECONDS", 0.01)


def as_read(entries: Sequence[bytes]) -> list[Message]:
    """Return what is read of a stream that holds these entries."""
    data = b"".join(len(entry).to_bytes(4, "big") + entry for entry in entries)
    chunk = Chunk(1, 0, len(entries), len(entries), data)
    return list(StreamSource("rabbitmq-stream://nowhere", "reviews")._messages_of(chunk, Epoch(1, "reviews")))


def run(handler: ReviewHandler | LabelHandler, broker: MemoryBroker, entries: Sequence[bytes], batch: int) -> None:
    """Have a pipeline do all entries; fails where it ends by itself, is held up, or meets a bug."""
    bugs = REGISTRY.get_sample_value("bridge_bugs_total", {"source": "reviews"}) or 0
    for message in as_read(entries):
        broker.put("reviews", message)
    offsets = MemoryOffsets()
    running = Running(broker, offsets, handler, limits=BatchLimits(messages=batch, wait_seconds=0))
    done = wait_until(lambda: running.stop.is_set() or offsets.stored[-1:] == [len(entries) - 1], 20)
    ended_by_itself = running.stop.is_set()
    running.end()
    assert (done, ended_by_itself) == (True, False)
    assert (REGISTRY.get_sample_value("bridge_bugs_total", {"source": "reviews"}) or 0) == bugs


# What has ended the bridge once, or would have.
KNOWN = [
    deep(300, (b"[", b"]")),
    deep(100_000, (b"[", b"")),
    as_json({"text": "a", "label": "\x01" * 500_000}, ascii_only=True),
    as_json({"text": "\ud800", "label": 1, "id": "\ud800", "source": "\ud800"}, ascii_only=True),
    as_json({"text": "\0", "label": 1, "id": "\0", "source": "\0"}, ascii_only=True),
    as_json({"text": "a", "label": 10**400, "id": 2**64}, ascii_only=True),
    bytes(AMQPMessage(body=b"good", properties=Properties(message_id=b"\xff", correlation_id=b"\xff", reply_to="\0"))),
]


@settings(max_examples=60, deadline=None)
@example(KNOWN, 12)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=12), batch=st.integers(1, 12))
def test_whatever_is_written_to_reviews_is_answered_or_parked(
    server: FunctionServer, entries: list[bytes], batch: int
) -> None:
    server.answer = scored
    broker, records = MemoryBroker(), BsonRecords()
    handler = ReviewHandler("reviews", server.function, records, broker, HastyRetry(), broker)
    run(handler, broker, entries, batch)
    recorded = {record.id for record in records.predictions}
    parked = {record.id for record in records.rejected}
    assert not recorded & parked
    assert recorded | parked == {f"reviews:{offset}" for offset in range(len(entries))}
    answers = [json.loads(each.body)["offset"] for appended in broker.appended.values() for each in appended]
    assert {f"reviews:{offset}" for offset in answers} == recorded
    assert answers == sorted(answers)
    notices = [json.loads(each.body) for each in broker.published if each.to == "rejected"]
    assert parked <= {notice["id"] for notice in notices}
    wanted = {message.position for message in broker.streams["reviews"] if message.reply_to}
    replied = {json.loads(each.body)["offset"] for each in broker.published if "prediction" in json.loads(each.body)}
    assert replied == wanted & set(answers)


@settings(max_examples=60, deadline=None)
@example(KNOWN, 12)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=12), batch=st.integers(1, 12))
def test_whatever_is_written_to_labels_is_handed_over_or_parked(
    server: FunctionServer, entries: list[bytes], batch: int
) -> None:
    server.answer = labels = Labels()
    broker, records = MemoryBroker(), BsonRecords()
    run(LabelHandler("reviews", server.function, records, broker, HastyRetry()), broker, entries, batch)
    assert labels.taken + len(records.rejected) == len(entries)
