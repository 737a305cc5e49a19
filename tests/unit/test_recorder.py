"""Recording in the background, on a twin of the database that can go away."""

import asyncio
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from contracts.codec import to_documents
from contracts.records import PredictionRecord
from deploy.runner import wait_until
from records import BatchRecorder, Records, RecordsFull, RecordsUnavailable, Spool, now
from records.recorder import BATCH_RECORDS

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
            log_odds=-math.log(2),
            model="v1",
            source="http",
            received_at=TIME,
            scored_at=TIME,
        )
        for number in range(first, first + count)
    ]


def encoded(first: int, count: int, text: str = "é 🙂") -> list[bytes]:
    return [*map(bson.encode, to_documents(predictions(first, count, text)))]


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_all_records_are_written_and_the_end_of_a_backlog_is_told() -> None:
    written, counts, drained = Written(), [0], threading.Event()

    def count(written: int) -> None:
        counts[0] += written

    recorder = BatchRecorder(written, on_written=count, on_drained=drained.set)
    for first in range(0, 2000, 5):
        recorder.record(encoded(first, 5))
    assert recorder.waiting == 2000
    recorder.start()
    assert drained.wait(10)
    assert recorder.waiting == 0
    recorder.record(encoded(2000, 1))
    recorder.close(5)
    assert sorted(written.documents, key=lambda document: int(document["_id"])) == to_documents(predictions(0, 2001))
    assert counts == [2001]


def test_a_batch_is_sent_while_another_one_is_written() -> None:
    class Slow(Written):
        """Answers nobody until two batches have come."""

        both = threading.Barrier(2)

        def insert_encoded_predictions(self, content: bytes | bytearray) -> None:
            self.both.wait(10)
            super().insert_encoded_predictions(content)

    recorder = BatchRecorder(written := Slow())
    recorder.record(encoded(0, 2 * BATCH_RECORDS))
    recorder.start()
    recorder.close(10)
    assert len(written.documents) == 2 * BATCH_RECORDS


def test_who_wants_room_waits_and_is_refused_and_what_was_taken_is_written_after_an_outage(
    loop: asyncio.Runner,
) -> None:
    written = Written()
    refused: list[int] = []
    written.away.set()
    recorder = BatchRecorder(
        written, queue_bytes=50_000, wait_seconds=0.05, on_refused=lambda: refused.append(recorder.waiting)
    )
    recorder.start()
    for first in (0, 4):
        loop.run(recorder.room())
        recorder.record(encoded(first, 4, "x" * 10_000))
    assert not recorder.has_room()
    with pytest.raises(RecordsFull, match="8 records wait"):
        loop.run(recorder.room())
    assert refused == [8]
    assert recorder.waiting == 8
    written.away.clear()
    assert wait_until(lambda: recorder.waiting == 0, timeout_seconds=10)
    loop.run(recorder.room())
    recorder.close(5)
    assert [document["_id"] for document in written.documents] == [str(number) for number in range(8)]


def test_whoever_waits_for_room_has_it_once_there_is_some_each_in_turn(loop: asyncio.Runner) -> None:
    written = Written()
    written.away.set()
    recorder = BatchRecorder(written, queue_bytes=1, wait_seconds=30)
    recorder.start()
    taken: list[int] = []

    async def bring(number: int) -> None:
        await recorder.room()
        recorder.record(encoded(number, 1))
        taken.append(number)

    async def all_of_them() -> None:
        await bring(0)
        waiting = [asyncio.create_task(bring(number)) for number in range(1, 5)]
        await asyncio.sleep(0)  # they have begun
        assert taken == [0]
        written.away.clear()
        await asyncio.wait_for(asyncio.gather(*waiting), 20)

    loop.run(all_of_them())
    recorder.close(5)
    assert taken == list(range(5))
    assert [document["_id"] for document in written.documents] == [str(number) for number in range(5)]


def test_being_woken_for_nothing_does_not_end_it() -> None:
    written = Written()
    recorder = BatchRecorder(written)
    recorder.start()
    # As where a record is brought, and written, before whoever brought it has said so.
    recorder._filled.set()
    assert wait_until(lambda: not recorder._filled.is_set(), 5)
    recorder.record(encoded(0, 1))
    assert wait_until(lambda: len(written.documents) == 1, 5)
    recorder.close(5)


def test_what_a_killed_process_left_is_written_by_the_next(tmp_path: Path) -> None:
    written = Written()
    killed = BatchRecorder(written, spool=Spool(tmp_path))
    for first in range(0, 600, 3):
        killed.record(encoded(first, 3))
    # As the system ends the files of a process that is killed.
    for batch in [*killed._queue]:
        assert batch.file
        batch.file.close()
    torn = next(tmp_path.glob("*-2.bson"))
    torn.write_bytes(torn.read_bytes()[:-1])
    next_one = BatchRecorder(written, spool=Spool(tmp_path))
    next_one.start()
    next_one.record(encoded(1_000, 1))
    next_one.close(5)
    # Of the last one, not all had come into the file.
    assert {document["_id"] for document in written.documents} == {*map(str, range(599)), "1000"}
    assert [*tmp_path.iterdir()] == []


def test_what_waits_in_a_process_that_lives_is_left_to_it(tmp_path: Path) -> None:
    away, written = Written(), Written()
    away.away.set()
    living, other = BatchRecorder(away, spool=Spool(tmp_path)), BatchRecorder(written, spool=Spool(tmp_path))
    living.start()
    living.record(encoded(0, 600))
    other.start()
    other.record(encoded(1_000, 1))
    other.close(5)
    assert [document["_id"] for document in written.documents] == ["1000"]
    away.away.clear()
    living.close(5)
    assert len(away.documents) == 600
    assert [*tmp_path.iterdir()] == []


def test_what_is_left_at_the_end_is_not_lost_where_there_is_a_spool(tmp_path: Path) -> None:
    written = Written()
    lost: list[int] = []
    written.away.set()
    recorder = BatchRecorder(written, spool=Spool(tmp_path), on_lost=lost.append)
    recorder.start()
    recorder.record(encoded(0, 3))
    recorder.close(0.3)
    assert lost == []
    assert sum(len(path.read_bytes()) for path in tmp_path.iterdir()) == sum(map(len, encoded(0, 3)))


def test_a_spool_that_can_not_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = Written()
    recorder = BatchRecorder(written, spool=Spool(tmp_path / "spool"))
    (tmp_path / "spool").rmdir()
    recorder.start()
    recorder.record(encoded(0, 3))
    recorder.record(encoded(3, 3))
    recorder.close(5)
    assert len(written.documents) == 6
    assert caplog.text.count("records wait in memory alone") == 1


def test_closing_gives_up_in_time_and_counts_what_is_lost() -> None:
    written = Written()
    lost: list[int] = []
    written.away.set()
    recorder = BatchRecorder(written, on_lost=lost.append)
    recorder.start()
    recorder.record(encoded(0, 3))
    recorder.close(0.3)
    assert lost == [3]
