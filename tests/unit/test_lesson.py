"""The labels of a run are read one by one, until their counts take the memory that there is."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec.structs import replace

from contracts.manifest import Bound
from contracts.records import LabelRecord
from functions.retrain.lesson import Lesson

MOST_BYTES = 20_000_000


def record(number: int, text: str) -> LabelRecord:
    received_at = datetime(2026, 1, 2, tzinfo=UTC)
    return LabelRecord(
        id=str(number), text=text, label=number % 2, source="test", received_at=received_at, text_sha256=""
    )


def test_ten_thousand_labels_of_the_longest_texts_are_not_in_memory_together() -> None:
    begun: list[int] = []

    def labels() -> Iterator[LabelRecord]:
        for number in range(10_000):
            begun.append(number)
            yield record(number, " ".join(f"{n:06x}" for n in range(number * 14_285, (number + 1) * 14_285)))

    tracemalloc.start()
    try:
        lesson = Lesson.read(labels(), MOST_BYTES, bound=None)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1 < len(lesson) == len(begun) < 20, "further ones are not even read"
    assert peak_bytes < 2 * MOST_BYTES


def test_ten_thousand_short_labels_are_one_lesson() -> None:
    lesson = Lesson.read((record(number, f"good {number % 100}") for number in range(10_000)), MOST_BYTES, bound=None)
    assert len(lesson) == len(lesson.labelled) == 10_000


def test_no_labels_are_an_empty_lesson() -> None:
    assert len(Lesson.read(iter(()), MOST_BYTES, bound=None)) == 0


def test_labels_are_told_apart_by_who_vouches_for_them() -> None:
    records = [replace(record(number, "good"), principals=["ann", "bob"][: number + 1]) for number in range(2)]
    lesson = Lesson.read([*records, replace(record(2, "fine"), principals=["bob"])], MOST_BYTES, bound=None)
    assert lesson.by_principal() == {"ann": 2, "bob": 2}
    assert lesson.without("ann").ids == ["1", "2"], "for one of the two, somebody else vouches"
    assert lesson.without("ann").by_principal() == {"bob": 2}
    assert lesson.only("ann").ids == ["0"]
    assert {name: chosen.tolist() for name, chosen in lesson.of_each().items()} == {
        "ann": [True, True, False],
        "bob": [False, True, True],
    }


def test_labels_count_within_the_bound_and_as_often_as_they_did() -> None:
    learned = replace(record(1, "good good good bad"), weight=2.5)
    lesson = Lesson.read([learned], MOST_BYTES, bound=Bound(words=2, times=2))
    assert lesson.labelled.counted.occurrences.toarray().tolist() == [[1365 / 1024, 682 / 1024]]
    assert lesson.labelled.texts.occurrences.toarray().tolist() == [[3, 1]], "it is answered as it is"
    assert lesson.labelled.weights.tolist() == [2.5]
