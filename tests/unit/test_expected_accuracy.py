"""The accuracy to expect without labels, from probabilities that mean what they say."""

import math

import numpy as np
import pytest

from contracts.drift import ExpectedAccuracy
from sentiment.drift.expected import LEAST_LABELS, Judged, expected_accuracy, judge
from sentiment.scorer import Scorer, Weights


def test_a_prediction_is_right_as_often_as_its_probability_says() -> None:
    found = expected_accuracy([0.8, 0.2, 0.6, 0.6])
    deviation = math.sqrt(2 * 0.8 * 0.2 + 2 * 0.6 * 0.4) / 4
    assert found.accuracy == pytest.approx(0.7)
    assert (found.high - 0.7, 0.7 - found.low) == pytest.approx((min(1.96 * deviation, 0.3), 1.96 * deviation))
    assert found.texts == 4


def test_certainty_has_no_interval() -> None:
    assert expected_accuracy([1.0, 0.0]) == ExpectedAccuracy(1.0, 1.0, 1.0, 2)


def test_of_calibrated_windows_the_interval_holds_the_accuracy_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1_000):
        probabilities = rng.beta(0.8, 1.2, 300)
        right = (probabilities > 0.5) == (rng.random(300) < probabilities)
        found = expected_accuracy(probabilities.tolist())
        held += found.low <= right.mean() <= found.high
    assert 930 <= held <= 970


def test_labels_are_judged_as_they_are_scored() -> None:
    scorer = Scorer(Weights(good=2.0, bad=-2.0).__getitem__, 0.0)
    found = judge(iter([("good", 1), ("bad", 1), ("bad bad", 0), ("", 0)]), scorer)
    assert found == Judged([scorer.probability(text) for text in ("good", "bad", "bad bad", "")], right=3)
    assert found.wrong == 1


@pytest.mark.parametrize(
    ("right", "contradicts"), [(50, True), (69, True), (71, False), (80, False), (90, False), (91, True)]
)
def test_labels_contradict_a_calibration_beyond_chance_in_both_directions(right: int, contradicts: bool) -> None:
    assert Judged([0.8, 0.2] * 50, right).contradicts_calibration() is contradicts


def test_a_few_labels_contradict_nothing() -> None:
    assert not Judged([0.9] * (LEAST_LABELS - 1), 0).contradicts_calibration()
    assert Judged([0.9] * LEAST_LABELS, 0).contradicts_calibration()
