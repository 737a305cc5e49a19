"""How many answers are right, without labels: what calibrated probabilities lead to expect.

Where a model gives `positive` the probability p, and probabilities are calibrated, its answer is right with the
probability q = max(p, 1 - p). Among n texts the share of right answers then has the mean sum(q) / n and the standard
deviation sqrt(sum(q (1 - q))) / n: confidence-based performance estimation, CBPE, as in NannyML. It follows texts that
become harder to tell. It can't see that the same words come to mean something else: for that there are labels.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Of a normal distribution: 95 % lie within the one, 99 % within the other.
_INTERVAL_DEVIATIONS = 1.96
_CONTRADICTION_DEVIATIONS = 2.576
# Of fewer the distribution is too coarse to be taken for a normal one.
MINIMUM_LABELS = 30


def expected_accuracy(probabilities: Sequence[float]) -> tuple[float, float, float]:
    """Return the share of right answers to expect among texts, and between which it lies with 95 % probability.

    probabilities: (D,), calibrated, of `positive`; D at least 1.
    """
    right = _right(probabilities)
    mean, deviation = float(right.mean()), _deviation(right) / len(right)
    return mean, max(0.0, mean - _INTERVAL_DEVIATIONS * deviation), min(1.0, mean + _INTERVAL_DEVIATIONS * deviation)


def contradicts(probabilities: Sequence[float], errors: int) -> bool:
    """Return whether labels show that probabilities are not calibrated, at the level 0.01; too few labels show nothing.

    probabilities: (D,), of the labelled texts; errors: how many of them were answered wrongly.
    """
    if len(probabilities) < MINIMUM_LABELS:
        return False
    right = _right(probabilities)
    surprise = abs(len(right) - errors - float(right.sum()))
    # Half an answer: what is counted comes in steps of one.
    return surprise - 0.5 > _CONTRADICTION_DEVIATIONS * _deviation(right)


def _right(probabilities: Sequence[float]) -> NDArray[np.float64]:
    positive = np.array(probabilities, dtype=np.float64)
    return np.maximum(positive, 1 - positive)


def _deviation(right: NDArray[np.float64]) -> float:
    return math.sqrt(float((right * (1 - right)).sum()))
