"""Recording in the background, on a twin of the database that can go away."""

import threading
from typing import Any

import bson

from contracts.codec import to_documents
from contracts.records import PredictionRecord
from deploy.runner import wait_until
from records import BatchRecorder, Records, RecordsUnavailable, now

TIME = now()


class Written(Records):
    """Keeps what it is given, or raises while it is `away`."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.documents: list[dict[str, Any]] = []

    def ensure_indexes(self) -> None:
        if self.away.is_set():
            raise RecordsUnavailable("away")

    def insert_encoded_predictions(self, content: bytes | bytearray) -> None:
        if self.away.is_set():
            raise RecordsUnavailable("away")
        self.documents += bson.decode_all(content, bson.CodecOptions(tz_aware=True))


def predictions(first: int, count: int, text: str = "é 🙂") -> list[PredictionRecord]:
    return [
        PredictionRecord(
            id=f"{number}",
            text=text,
            prediction="positive",
            probability=1 / 3,
            model="v1",
            source="http",
            received_at=TIME,
            scored_at=TIME,
        )
        for number in range(first, first + count)
    ]


def test_all_records_are_written_in_order_and_the_end_of_a_backlog_is_told() -> None:
    written, counts, drained = Written(), [0], threading.Event()

    def count(written: int) -> None:
        counts[0] += written

    recorder = BatchRecorder(written, on_written=count, on_drained=drained.set)
    for first in range(0, 2000, 5):
        recorder.record(predictions(first, 5))
    assert recorder.waiting == 2000
    recorder.start()
    assert drained.wait(10)
    assert recorder.waiting == 0
    recorder.record(predictions(2000, 1))
    recorder.close(5)
    assert written.documents == to_documents(predictions(0, 2001))
    assert counts == [2001]


def test_what_finds_no_room_is_counted_as_lost_and_the_rest_is_written_after_an_outage() -> None:
    written = Written()
    lost: list[int] = []
    written.away.set()
    recorder = BatchRecorder(written, queue_bytes=50_000, on_lost=lost.append)
    recorder.start()
    recorder.record(predictions(0, 4, "x" * 10_000))
    recorder.record(predictions(4, 2, "x" * 10_000))
    recorder.record(predictions(6, 1))
    assert lost == [2]
    assert recorder.waiting == 5
    written.away.clear()
    assert wait_until(lambda: recorder.waiting == 0, timeout_seconds=10)
    recorder.close(5)
    assert [document["_id"] for document in written.documents] == ["0", "1", "2", "3", "6"]


def test_closing_gives_up_in_time_and_counts_what_is_lost() -> None:
    written = Written()
    lost: list[int] = []
    written.away.set()
    recorder = BatchRecorder(written, on_lost=lost.append)
    recorder.start()
    recorder.record(predictions(0, 3))
    recorder.close(0.3)
    assert lost == [3]
