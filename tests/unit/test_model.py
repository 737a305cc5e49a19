"""A model is its counts: adding texts, or taking them back, is exactly training with or without them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.counts import count_texts
from sentiment.model import Model
from sentiment.trainers.multinomial_nb import pipeline, train
from tests.models import equal
from tests.unit.texts import CORPORA, LABELLED, TEXTS

Examples = list[tuple[str, int]]
MORE = st.lists(LABELLED, max_size=8)
WEIGHTS = st.integers(1, 50 * 1024).map(lambda parts: parts / 1024)


def trained(examples: Examples) -> Model:
    return train(*zip(*examples, strict=True))


def updated(model: Model, examples: Examples, weight: float = 1.0) -> Model:
    return model.added(count_texts(text for text, _ in examples), [label for _, label in examples], weight=weight)


def small(alpha: float = 1.0) -> Model:
    return Model(("bad", "good"), np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([2.0, 1.0]), alpha)


@settings(max_examples=100, deadline=None)
@given(CORPORA, MORE)
def test_an_update_gives_the_model_that_training_on_everything_gives(corpus: Examples, more: Examples) -> None:
    assert equal(updated(trained(corpus), more), trained(corpus + more))


@settings(max_examples=100, deadline=None)
@given(CORPORA, MORE, WEIGHTS)
def test_taking_back_gives_the_model_that_never_had_the_texts(corpus: Examples, more: Examples, weight: float) -> None:
    model = trained(corpus)
    assert equal(updated(updated(model, more, weight), more, -weight), model)


@settings(max_examples=100, deadline=None)
@given(CORPORA, MORE, MORE)
def test_the_order_of_updates_does_not_matter(corpus: Examples, first: Examples, second: Examples) -> None:
    model = trained(corpus)
    assert equal(updated(updated(model, first), second), updated(updated(model, second), first))


@settings(max_examples=50, deadline=None)
@given(CORPORA, MORE, WEIGHTS)
def test_a_weight_is_scikit_learns_sample_weight(corpus: Examples, more: Examples, weight: float) -> None:
    texts, labels = zip(*corpus, *more, strict=True)
    weights = [1.0] * len(corpus) + [weight] * len(more)
    bayes = pipeline().fit(texts, labels, multinomialnb__sample_weight=weights)[-1]
    model = updated(trained(corpus), more, weight)
    assert np.array_equal(model.counts, bayes.feature_count_)
    assert np.array_equal(model.class_texts, bayes.class_count_)
    assert model.log_likelihoods() == pytest.approx(bayes.feature_log_prob_, rel=0, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(CORPORA, st.lists(TEXTS, max_size=4))
def test_an_update_leaves_the_old_model_as_it_was(corpus: Examples, texts: list[str]) -> None:
    model = trained(corpus)
    updated(model, [(text, 1) for text in texts])
    assert equal(model, trained(corpus))


def test_weights_are_kept_to_multiples_of_1_in_1024() -> None:
    assert updated(small(), [("good", 1)], 0.1).counts[1, 1] == 2 + 102 / 1024
    assert equal(updated(small(), [("new", 1)], 1 / 4096), small())


def test_a_word_that_no_text_has_any_more_leaves_the_vocabulary() -> None:
    model = trained([("good film", 1), ("bad film", 0), ("splendid", 1)])
    assert "splendid" in model.vocabulary
    assert updated(model, [("splendid", 1)], -1.0).vocabulary == ("bad", "film", "good")


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["unknown"], [1]),  # a word that was never counted
        (["bad"], [1]),  # counted, with the other label
        (["good good good"], [1]),  # counted, but not so often
        (["", "", ""], [0, 0, 0]),  # more texts than there are
    ],
)
def test_taking_back_what_was_not_counted_is_refused(texts: list[str], labels: list[int]) -> None:
    with pytest.raises(ValueError, match="taken back"):
        small().added(count_texts(texts), labels, weight=-1.0)


def test_taking_back_the_last_text_of_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        small().added(count_texts(["good"]), [1], weight=-1.0)


@pytest.mark.parametrize(
    ("labels", "message"), [([1], "2 texts came with 1 labels"), ([0, 2], "0 or 1"), ([0, -1], "0 or 1")]
)
def test_labels_that_do_not_fit_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().added(count_texts(["good", "bad"]), labels)


@pytest.mark.parametrize(
    ("counts", "documents", "alpha", "message"),
    [
        ([[1.0], [1.0]], [1.0, 1.0], 1.0, "counts must be"),
        ([[1.0, 2.0]], [1.0, 1.0], 1.0, "counts must be"),
        ([[1.0, 2.0], [1.0, 2.0]], [1.0], 1.0, "counts must be"),
        ([[1.0, -1.0], [1.0, 2.0]], [1.0, 1.0], 1.0, "not negative"),
        ([[1.0, math.nan], [1.0, 2.0]], [1.0, 1.0], 1.0, "finite"),
        ([[1.0, math.inf], [1.0, 2.0]], [1.0, 1.0], 1.0, "finite"),
        ([[1.0, 1.0], [1.0, 2.0]], [0.0, 1.0], 1.0, "both classes"),
        ([[1.0, 1.0], [1.0, 2.0]], [1.0, math.nan], 1.0, "both classes"),
        ([[1.0, 1.0], [1.0, 2.0]], [1.0, 1.0], 0.0, "alpha"),
        ([[1.0, 1.0], [1.0, 2.0]], [1.0, 1.0], -1.0, "alpha"),
        ([[1.0, 1.0], [1.0, 2.0]], [1.0, 1.0], math.nan, "alpha"),
        ([[1.0, 1.0], [1.0, 2.0]], [1.0, 1.0], math.inf, "alpha"),
    ],
)
def test_parts_that_make_no_model_are_refused(
    counts: list[list[float]], documents: list[float], alpha: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Model(("bad", "good"), np.array(counts), np.array(documents), alpha)


def test_equal_models_hold_the_same_counts() -> None:
    model = small()
    assert equal(model, small())
    assert not equal(model, small(alpha=2.0))
    assert not equal(model, Model(("bad", "fine"), model.counts, model.class_texts))
    assert not equal(model, Model(model.vocabulary, model.counts + 1, model.class_texts))
    assert not equal(model, Model(model.vocabulary, model.counts, model.class_texts + 1))


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 0], [0, 2]])
def test_training_needs_texts_of_both_labels(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="both labels"):
        train(["good film"] * len(labels), labels)


def test_training_needs_a_word() -> None:
    with pytest.raises(ValueError, match="empty vocabulary"):
        train(["a", "!"], [0, 1])
