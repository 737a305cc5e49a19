"""Fits a calibration on texts that the model has not been trained on, and measures a model by it.

Two kinds are fitted by their log loss: a temperature alone, and a temperature times a power of the number of words. The
power has to earn its place by the Bayesian information criterion (Schwarz, 1978): it is taken where it lowers the loss
of all N texts together by more than ln(N) / 2 nats.

The labels are smoothed as Platt does (Probabilistic Outputs for Support Vector Machines, 1999), so that a few texts,
all of them right, make nobody certain.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from contracts.manifest import Calibration, Evaluation
from sentiment.calibration import NOT_CALIBRATED
from sentiment.counts import TextCounts
from sentiment.evaluation import evaluate
from sentiment.scorer import Scorer

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 1000.0

Floats = NDArray[np.float64]


class Calibrated(NamedTuple):
    """What calibrates a model, and how good the model is with it."""

    calibration: Calibration
    metrics: Evaluation


def calibrate(texts: TextCounts, scorer: Scorer, labels: Sequence[int]) -> Calibrated:
    """Fit a calibration on labelled texts, which the model has not seen, and measure the model on them.

    The figures are cross-fitted: each half of the texts is calibrated by a fit on the other half, so that none is
    judged by what it has taught. Raises ValueError where there are no texts.
    """
    log_odds, words, truth = texts.log_odds(scorer), texts.known_words(scorer), np.asarray(labels)
    of_others = np.zeros(len(truth))
    for half in (0, 1):
        mine = np.arange(len(truth)) % 2 == half
        of_others[mine] = calibrated(log_odds[mine], words[mine], fit(log_odds[~mine], words[~mine], truth[~mine]))
    return Calibrated(fit(log_odds, words, truth), evaluate(of_others, labels))


def calibrated(log_odds: Floats, words: Floats, calibration: Calibration) -> Floats:
    """Return the calibrated log-odds of texts, (N,), by their log-odds and numbers of known words, (N,)."""
    quotients: Floats = log_odds / (calibration.temperature * np.maximum(words, 1) ** calibration.power)
    return quotients


def fit(log_odds: Floats, words: Floats, labels: ArrayLike) -> Calibration:
    """Return what fits labels of 0 and 1, (N,), best; without any, what changes nothing."""
    truth = np.asarray(labels)
    if not len(truth):
        return NOT_CALIBRATED
    positives = int(truth.sum())
    wanted = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))

    def best(power: float) -> tuple[float, float]:
        """Return the least loss with a power, in nats, and its temperature."""
        scaled = calibrated(log_odds, words, Calibration(power=power))

        def loss(log_temperature: float) -> float:
            found = scaled / math.exp(log_temperature)
            return float((np.logaddexp(0, found) - wanted * found).sum())

        bounds = math.log(LEAST_TEMPERATURE), math.log(MOST_TEMPERATURE)
        found = minimize_scalar(loss, bounds=bounds, method="bounded")
        return float(found.fun), math.exp(found.x)

    loss, temperature = best(0.0)
    power = float(minimize_scalar(lambda power: best(power)[0], bounds=(0, 1), method="bounded").x)
    loss_with_power, temperature_with_power = best(power)
    if loss - loss_with_power > math.log(len(truth)) / 2:
        return Calibration(temperature_with_power, power)
    return Calibration(temperature)
