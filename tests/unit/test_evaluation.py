"""The figures are those of scikit-learn's metrics."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from sentiment.calibration import probability
from sentiment.evaluation import CALIBRATION_BINS, evaluate

# Two decimals keep scores off the edges of the bins, where a rounding decides; within 30, since scikit-learn
# clips a log loss at the precision of a probability, which log-odds have not got.
SCORED = st.lists(
    st.tuples(st.integers(-3000, 3000).map(lambda hundredths: hundredths / 100), st.sampled_from((0, 1))),
    min_size=1,
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(SCORED)
def test_figures_are_scikit_learns(scored: list[tuple[float, int]]) -> None:
    scores, labels = np.array([score for score, _ in scored]), [label for _, label in scored]
    predicted = (scores > 0).astype(int)
    result = evaluate(scores, labels)
    precision, recall, _, texts = metrics.precision_recall_fscore_support(
        labels, predicted, labels=[0, 1], zero_division=0
    )
    assert result.texts == len(scored)
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert result.confusion == metrics.confusion_matrix(labels, predicted, labels=[0, 1]).tolist()
    for found, label in ((result.negative, 0), (result.positive, 1)):
        assert (found.precision, found.recall) == pytest.approx((precision[label], recall[label]))
        assert found.texts == texts[label]
    expected_loss = metrics.log_loss(labels, [probability(score) for score in scores], labels=[0, 1])
    assert result.log_loss == pytest.approx(expected_loss, rel=1e-3, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(SCORED)
def test_calibration_bins_hold_every_text_once(scored: list[tuple[float, int]]) -> None:
    result = evaluate([score for score, _ in scored], [label for _, label in scored])
    bins = result.calibration
    assert sum(found.texts for found in bins) == len(scored)
    tenths = [min(int(found.mean_probability * CALIBRATION_BINS), CALIBRATION_BINS - 1) for found in bins]
    assert tenths == sorted(set(tenths))
    total = sum(found.mean_probability * found.texts for found in bins)
    assert total == pytest.approx(sum(probability(score) for score, _ in scored))
    assert sum(found.share_positive * found.texts for found in bins) == pytest.approx(sum(label for _, label in scored))
    assert 0 <= result.calibration_error <= 1


def test_calibration_compares_probabilities_with_shares() -> None:
    """Four texts at 0.25 of which one is positive, two at 0.95 of which one is."""
    result = evaluate([-math.log(3)] * 4 + [math.log(19)] * 2, [1, 0, 0, 0, 1, 0])
    assert [(found.texts, found.share_positive) for found in result.calibration] == [(4, 0.25), (2, 0.5)]
    assert [found.mean_probability for found in result.calibration] == pytest.approx([0.25, 0.95])
    assert result.calibration_error == pytest.approx((4 * 0.0 + 2 * 0.45) / 6)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("score", [-5.0, 5.0])
def test_texts_of_one_class_give_zeros_for_the_other(label: int, score: float) -> None:
    result = evaluate([score, score], [label, label])
    mine, other = (result.negative, result.positive) if label == 0 else (result.positive, result.negative)
    assert (mine.texts, other.texts) == (2, 0)
    assert (other.precision, other.recall) == (0.0, 0.0)
    right = (score > 0) == (label == 1)
    assert result.accuracy == mine.recall == mine.precision == float(right)


def test_a_tie_counts_as_negative() -> None:
    assert evaluate([0.0, 0.0], [0, 1]).confusion == [[1, 0], [1, 0]]


def test_certainty_that_is_wrong_costs_its_log_odds_and_overflows_nothing() -> None:
    result = evaluate([-2000.0, 2000.0], [1, 0])  # a warning of NumPy's would be an error
    assert result.log_loss == pytest.approx(2000)
    assert result.calibration_error == pytest.approx(1)


def test_figures_are_json_types() -> None:
    found = msgspec.to_builtins(evaluate(np.array([1.0, -1.0]), [1, 0]))
    assert found["negative"] == {"precision": 1.0, "recall": 1.0, "texts": 1}
    assert set(found["calibration"][0]) == {"mean_probability", "share_positive", "texts"}
    assert type(found["texts"]) is int
    assert type(found["accuracy"]) is type(found["log_loss"]) is float


@pytest.mark.parametrize(("scores", "labels"), [([], []), ([1.0], []), ([1.0, 2.0], [1])])
def test_scores_without_their_labels_are_refused(scores: list[float], labels: list[int]) -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        evaluate(scores, labels)
