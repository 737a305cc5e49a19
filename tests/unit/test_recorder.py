"""Recording in the background, on a twin of the database that can go away."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from deploy.runner import wait_until
from records import BatchRecorder, Records, RecordsUnavailable


class Written:
    """Stands in for Records: keeps what it is given, or raises while it is `away`."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.documents: list[dict[str, Any]] = []

    def ensure_indexes(self) -> None:
        if self.away.is_set():
            raise RecordsUnavailable("away")

    def write_predictions(self, documents: Sequence[Mapping[str, Any]]) -> None:
        if self.away.is_set():
            raise RecordsUnavailable("away")
        self.documents += map(dict, documents)


def documents(first: int, count: int, text: str = "é 🙂") -> list[dict[str, Any]]:
    return [{"_id": f"{number}", "text": text, "probability": 1 / 3} for number in range(first, first + count)]


def test_all_documents_are_written_in_order_and_the_end_of_a_backlog_is_told() -> None:
    written, counts, drained = Written(), [0], threading.Event()

    def count(documents: int) -> None:
        counts[0] += documents

    recorder = BatchRecorder(cast(Records, written), on_written=count, on_drained=drained.set)
    for first in range(0, 2000, 5):
        recorder.record(documents(first, 5))
    assert recorder.waiting == 2000
    recorder.start()
    assert drained.wait(10)
    assert recorder.waiting == 0
    recorder.record(documents(2000, 1))
    recorder.close(5)
    assert written.documents == documents(0, 2001)
    assert counts == [2001]


def test_what_finds_no_room_is_counted_as_lost_and_the_rest_is_written_after_an_outage() -> None:
    written = Written()
    lost: list[int] = []
    written.away.set()
    recorder = BatchRecorder(cast(Records, written), queue_bytes=50_000, on_lost=lost.append)
    recorder.start()
    recorder.record(documents(0, 4, "x" * 10_000))
    recorder.record(documents(4, 2, "x" * 10_000))
    recorder.record(documents(6, 1))
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
    recorder = BatchRecorder(cast(Records, written), on_lost=lost.append)
    recorder.start()
    recorder.record(documents(0, 3))
    recorder.close(0.3)
    assert lost == [3]
