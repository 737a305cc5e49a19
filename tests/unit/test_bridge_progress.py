"""The progress on a stream: who stores it, and which life of the stream an offset is of."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from bridge.progress import StreamProgress
from contracts.records import StoredOffset
from messages.ports import Epoch, Position, Superseded
from process.retry import Abandoned
from tests.unit.offsets import HastyRetry, MemoryOffsets

BEGAN_AT = 1_790_000_000_123
BEGAN = datetime.fromtimestamp(BEGAN_AT / 1000, UTC)
ANEW = f"reviews:{BEGAN_AT}"
FIRST_LIFE = Epoch(1_780_000_000_000, "reviews")
POSITION = Position(41, 1_785_000_000_000, FIRST_LIFE)


def progress_in(offsets: MemoryOffsets) -> StreamProgress:
    return StreamProgress("reviews", offsets, HastyRetry())


def stored_by_a_bridge_before(offsets: MemoryOffsets, position: Position = POSITION) -> None:
    before = progress_in(offsets)
    before.take()
    before.store(position)


def test_a_stream_of_which_nothing_is_known_has_no_position_and_is_in_its_first_life() -> None:
    progress = progress_in(MemoryOffsets())
    assert progress.take() is None
    assert progress.offset == -1
    assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, "reviews")
    assert progress.offset == -1


def test_of_a_stream_that_begins_late_nothing_before_counts_as_left_to_do() -> None:
    progress = progress_in(MemoryOffsets())
    progress.take()
    assert progress.begin(500, BEGAN_AT) == Epoch(BEGAN_AT, "reviews")
    assert progress.offset == 499


@pytest.mark.parametrize("epoch", [FIRST_LIFE, Epoch(BEGAN_AT, ANEW)])
def test_what_is_stored_is_what_the_next_bridge_takes(epoch: Epoch) -> None:
    offsets = MemoryOffsets()
    position = Position(41, 1_795_000_000_000, epoch)
    stored_by_a_bridge_before(offsets, position)
    progress = progress_in(offsets)
    assert progress.take() == position
    assert progress.offset == 41


def test_an_offset_is_stored_with_its_life_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.progress.now", lambda: BEGAN)
    offsets = MemoryOffsets()
    progress = progress_in(offsets)
    progress.take()
    progress.store(POSITION)
    assert progress.offset == 41
    assert offsets.document == StoredOffset(
        id="reviews",
        offset=41,
        chunk_time=1_785_000_000_000,
        epoch=1_780_000_000_000,
        key_prefix="reviews",
        stored_at=BEGAN,
    )


def test_an_offset_of_an_earlier_release_is_of_no_chunk_and_of_the_first_life() -> None:
    offsets = MemoryOffsets()
    offsets.document = StoredOffset(id="reviews", offset=41, stored_at=BEGAN)
    progress = progress_in(offsets)
    position = progress.take()
    assert position == Position(41, None, Epoch(0, "reviews"))
    progress.store(position._replace(offset=42, chunk_time=7))
    assert progress.take() == Position(42, 7, Epoch(0, "reviews"))


def test_who_is_superseded_stores_nothing_until_it_takes_the_position_again() -> None:
    offsets = MemoryOffsets()
    first, second = progress_in(offsets), progress_in(offsets)
    first.take()
    first.store(POSITION)
    assert second.take() == POSITION
    with pytest.raises(Superseded, match="reviews: another bridge reads it"):
        first.store(POSITION._replace(offset=42))
    assert first.offset == 41
    second.store(POSITION._replace(offset=43))
    assert offsets.stored == [41, 43]
    assert first.take() == POSITION._replace(offset=43)
    first.store(POSITION._replace(offset=44))
    assert offsets.stored == [41, 43, 44]
    with pytest.raises(Superseded):
        second.store(POSITION._replace(offset=44))


def test_an_offset_that_is_not_as_it_was_left_is_not_written_over_until_it_is_taken_again() -> None:
    offsets = MemoryOffsets()
    progress = progress_in(offsets)
    progress.take()
    progress.store(POSITION)
    backup = offsets.document
    progress.store(POSITION._replace(offset=50))
    for restored, position in ((backup, POSITION), (None, None)):
        offsets.document = restored
        with pytest.raises(Superseded, match="restored"):
            progress.store(POSITION._replace(offset=60))
        assert offsets.document is restored
        assert progress.take() == position
        progress.store(POSITION._replace(offset=50))


def test_before_a_position_is_taken_none_is_stored() -> None:
    offsets = MemoryOffsets()
    offsets.owner = "another"
    with pytest.raises(Superseded):
        progress_in(offsets).store(POSITION)
    assert offsets.stored == []


def test_a_stream_in_the_place_of_one_that_was_read_has_ids_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    offsets = MemoryOffsets()
    stored_by_a_bridge_before(offsets)
    progress = progress_in(offsets)
    progress.take()
    assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, ANEW)
    assert progress.offset == -1
    assert f"reviews was made anew: it is read from offset 0, and ids begin with {ANEW}" in caplog.text


def test_a_stream_that_is_made_anew_again_has_other_ids_again() -> None:
    offsets = MemoryOffsets()
    stored_by_a_bridge_before(offsets, Position(41, BEGAN_AT, Epoch(BEGAN_AT, ANEW)))
    progress = progress_in(offsets)
    progress.take()
    assert progress.begin(0, BEGAN_AT + 1) == Epoch(BEGAN_AT + 1, f"reviews:{BEGAN_AT + 1}")


@pytest.mark.parametrize(
    ("received", "prefix"),
    [
        # A message is received after the broker has written its chunk.
        (timedelta(milliseconds=-1), ANEW),
        (timedelta(), "reviews"),
        (timedelta(days=1), "reviews"),
    ],
)
def test_without_an_offset_a_record_that_is_older_than_the_first_chunk_is_of_another_stream(
    received: timedelta, prefix: str
) -> None:
    offsets = MemoryOffsets()
    offsets.received["reviews:7"] = BEGAN + received
    progress = progress_in(offsets)
    assert progress.take() is None
    assert progress.begin(7, BEGAN_AT) == Epoch(BEGAN_AT, prefix)
    assert progress.offset == 6


def test_without_an_offset_records_of_this_very_life_are_found_by_its_ids() -> None:
    offsets = MemoryOffsets()
    offsets.received["reviews:0"] = BEGAN - timedelta(days=30)
    offsets.received[f"{ANEW}:0"] = BEGAN + timedelta(seconds=1)
    progress = progress_in(offsets)
    progress.take()
    assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, ANEW)
    # Also where the records of the first life have expired.
    del offsets.received["reviews:0"]
    assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, ANEW)


def test_a_life_whose_start_was_not_stored_yet_is_the_same_at_the_next_attempt() -> None:
    offsets = MemoryOffsets()
    stored_by_a_bridge_before(offsets)
    for _ in range(2):
        progress = progress_in(offsets)
        assert progress.take() == POSITION
        assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, ANEW)
        # A record is written, and then the bridge is killed.
        offsets.received[f"{ANEW}:0"] = BEGAN + timedelta(seconds=1)


def test_what_is_missed_is_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    def missed() -> float:
        return REGISTRY.get_sample_value("bridge_missed_messages_total", {"source": "reviews"}) or 0

    before = missed()
    with caplog.at_level(logging.ERROR):
        progress_in(MemoryOffsets()).missed(10, 25)
    assert missed() - before == 15
    assert "offsets 10 to 24 before they were read: 15 messages are missed" in caplog.text


def test_records_that_are_away_are_waited_for() -> None:
    offsets = MemoryOffsets()
    offsets.received["reviews:0"] = BEGAN
    progress = progress_in(offsets)
    offsets.failures = 2
    assert progress.take() is None
    offsets.failures = 3
    assert progress.begin(0, BEGAN_AT) == Epoch(BEGAN_AT, "reviews")
    offsets.failures = 2
    progress.store(POSITION)
    assert (offsets.stored, offsets.failures) == ([41], 0)


def test_giving_up_abandons_the_wait_for_records() -> None:
    offsets, give_up = MemoryOffsets(), threading.Event()
    progress = StreamProgress("reviews", offsets, HastyRetry(give_up))
    progress.take()
    give_up.set()
    for wait in (progress.take, lambda: progress.begin(0, BEGAN_AT), lambda: progress.store(POSITION)):
        offsets.failures = 1
        with pytest.raises(Abandoned):
            wait()
    assert (offsets.stored, progress.offset) == ([], -1)
