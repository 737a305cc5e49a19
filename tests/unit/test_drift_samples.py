"""What is measured of texts, and the statistics that are kept instead of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drift import take
from sentiment.artifact import ArtifactError
from sentiment.counts import count_texts
from sentiment.drift.measures import MEASURES, measure
from sentiment.drift.samples import MAXIMUM_SAMPLE, Reference, Window
from sentiment.model import Model
from tests.unit.drift_texts import MODEL, make_texts

SMALL = Model(("bad", "good"), np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 3.0]))


def test_measures_are_those_of_the_definition() -> None:
    documents = measure(count_texts(["Good, good new!", "bad"]), SMALL)
    # Both classes together: bad 3, good 4, unknown 0, each plus 1.
    good, bad, unknown = (math.log(count / 10) for count in (5, 4, 1))
    assert documents.measures["length"].tolist() == [3, 1]
    assert documents.measures["unknown_words"] == pytest.approx([1 / 3, 0])
    assert documents.measures["log_likelihood"] == pytest.approx([(2 * good + unknown) / 3, bad])


@given(st.lists(st.text() | st.sampled_from(["good bad", "Good! GOOD?", "so bad"]), max_size=5))
def test_the_score_is_that_of_the_served_model(texts: list[str]) -> None:
    scorer = SMALL.scorer()
    assert measure(count_texts(texts), SMALL).measures["score"] == pytest.approx(
        [scorer.log_odds(text) for text in texts], rel=1e-6
    )


def test_a_text_without_words_has_neither_unknown_nor_unlikely_words() -> None:
    documents = measure(count_texts(["", "! ?"]), SMALL)
    assert [documents.measures[name].tolist() for name in MEASURES[1:]] == [[0, 0], [0, 0], [0, 0]]


def test_errors_are_counted_where_labels_are_known() -> None:
    sample = Window.from_texts(["good", "good", "bad", "bad"], SMALL, [1, 0, None, 0])
    assert (sample.labelled, sample.errors) == (3, 1)


@pytest.mark.parametrize("labels", [[1], [1, 0, 1]])
def test_labels_must_be_as_many_as_texts(labels: list[int | None]) -> None:
    with pytest.raises(ValueError, match="zip"):
        Window.from_texts(["good", "bad"], SMALL, labels)


def test_texts_that_can_be_read_only_once_are_refused() -> None:
    with pytest.raises(ValueError, match="only once"):
        Window.from_texts(iter(["good", "bad"]), SMALL)


def test_words_are_counted_once_a_document() -> None:
    sample = Window.from_texts(["good good good", "good bad", "new"], SMALL)
    assert dict(zip(sample.words, sample.word_texts.tolist(), strict=True)) == {"good": 2, "bad": 1, "new": 1}


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = make_texts(25, 1)
    labels = [1] * len(texts)
    whole = Reference.from_texts(texts, MODEL, iter(labels))
    monkeypatch.setattr("sentiment.drift.samples._BATCH_BYTES", 20_000)
    batched = Reference.from_texts(texts, MODEL, iter(labels))
    assert batched.to_bytes() == whole.to_bytes()


def test_taken_documents_are_as_if_measured_again() -> None:
    texts = make_texts(30, 2)
    indices = np.array([4, 4, 29, 0])
    taken = Window.from_measured([take(measure(count_texts(texts), MODEL, [1] * 30), indices)])
    again = Window.from_texts([texts[i] for i in indices], MODEL, [1] * 4)
    assert dict(zip(taken.words, taken.word_texts.tolist(), strict=True)) == dict(
        zip(again.words, again.word_texts.tolist(), strict=True)
    )
    assert all(np.array_equal(taken.measures[name], again.measures[name]) for name in MEASURES)
    assert (taken.texts, taken.labelled, taken.errors) == (4, again.labelled, again.errors)


def test_counts_are_measured_as_their_texts_are() -> None:
    texts = make_texts(20, 4)
    counted = Reference.from_measured([measure(count_texts(texts), MODEL, [1] * 20)])
    assert counted.to_bytes() == Reference.from_texts(texts, MODEL, [1] * 20).to_bytes()


@pytest.mark.parametrize("texts", [[], [""], ["Ünïcode wörd", "日本語 ok"], make_texts(50, 3)])
def test_a_reference_survives_as_bytes(texts: list[str]) -> None:
    reference = Reference.from_texts(texts, MODEL, [0] * len(texts))
    read = Reference.from_bytes(reference.to_bytes())
    assert read.words == reference.words
    assert np.array_equal(read.word_texts, reference.word_texts)
    assert all(np.array_equal(read.measures[name], reference.measures[name]) for name in MEASURES)
    assert (read.texts, read.labelled, read.errors) == (len(texts), reference.labelled, reference.errors)


@pytest.mark.parametrize("content", [b"", b"not an archive", SMALL.vocabulary[0].encode() * 99])
def test_bytes_that_are_no_reference_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        Reference.from_bytes(content)


def test_a_truncated_reference_is_refused() -> None:
    content = Reference.from_texts(make_texts(50, 3), MODEL).to_bytes()
    with pytest.raises(ArtifactError):
        Reference.from_bytes(content[: len(content) // 2])


def test_a_reference_is_bounded_and_keeps_its_distributions() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 2 * MAXIMUM_SAMPLE)
    reference = Reference.from_texts(["good " * length for length in lengths], SMALL)
    assert reference.texts == len(lengths)
    assert len(reference.measures["length"]) == MAXIMUM_SAMPLE
    shares = np.searchsorted(reference.measures["length"], np.arange(31), side="right") / MAXIMUM_SAMPLE
    exact = np.searchsorted(np.sort(lengths), np.arange(31), side="right") / len(lengths)
    assert shares == pytest.approx(exact, abs=1 / MAXIMUM_SAMPLE)
