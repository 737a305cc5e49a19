"""How often a model is right on texts whose labels nobody knows yet, from its calibrated probabilities.

Of the texts at a probability of 0.8 four of five are positive, so the prediction is right with probability 0.8. The
mean of this over a window is the accuracy to expect there (confidence-based performance estimation, as NannyML calls
it). The number of right predictions is a sum of independent trials, whose variance is the sum of theirs: it gives the
interval. All of this holds as long as the probabilities mean what they say, which recent labels can contradict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.drift import ExpectedAccuracy
from sentiment.scorer import Scorer

INTERVAL_DEVIATIONS = 1.96  # 95 % of a normal distribution
CONTRADICTION_DEVIATIONS = 2.576  # all but 1 %
LEAST_LABELS = 30


@dataclass(frozen=True)
class Judged:
    """Labelled texts: the probability of positive that each got, and of how many the prediction was right."""

    probabilities: list[float]
    right: int

    @property
    def wrong(self) -> int:
        """Of how many it was wrong."""
        return len(self.probabilities) - self.right

    def contradicts_calibration(self) -> bool:
        """Whether the predictions are right more or less often than their probabilities say, beyond chance (1 %)."""
        if len(self.probabilities) < LEAST_LABELS:
            return False
        expected, deviation = _right(self.probabilities)
        return abs(self.right - expected) > CONTRADICTION_DEVIATIONS * deviation


def judge(examples: Iterable[tuple[str, int]], scorer: Scorer) -> Judged:
    """Score labelled texts, one at a time."""
    probabilities, right = list[float](), 0
    for text, label in examples:
        score = scorer.score(text)
        probabilities.append(score.probability)
        right += (score.log_odds > 0) == (label == 1)
    return Judged(probabilities, right)


def expected_accuracy(probabilities: Sequence[float]) -> ExpectedAccuracy:
    """Return the accuracy to expect on texts with these probabilities of positive, at least one, and its interval."""
    texts = len(probabilities)
    expected, deviation = _right(probabilities)
    low, high = (expected + sign * INTERVAL_DEVIATIONS * deviation for sign in (-1, 1))
    return ExpectedAccuracy(expected / texts, max(low / texts, 0.0), min(high / texts, 1.0), texts)


def _right(probabilities: Sequence[float]) -> tuple[float, float]:
    """Return how many predictions are expected to be right, and the standard deviation of that number."""
    positive: NDArray[np.float64] = np.array(probabilities)
    right = np.maximum(positive, 1 - positive)
    return float(right.sum()), float(np.sqrt((right * (1 - right)).sum()))
