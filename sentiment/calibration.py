"""From log-odds to a probability that means something: of the texts at 0.8, four of five are positive.

Naive Bayes counts words as if each were new evidence, so its log-odds are too far from 0, and the farther the longer
the text. They are divided by a temperature (Guo et al., On Calibration of Modern Neural Networks, 2017), times a power
of the number of words that the model knows:

    probability = 1 / (1 + exp(-log-odds / (temperature x words^power)))

The divisor is positive, so the label stays as it is. `sentiment.calibrating` fits both numbers.
"""

import math

from contracts.manifest import Calibration

NOT_CALIBRATED = Calibration()


def probability(log_odds: float, words: int = 1, calibration: Calibration = NOT_CALIBRATED) -> float:
    """Return the probability of `positive` for a text of so many known words, without overflow."""
    log_odds /= calibration.temperature * (words or 1) ** calibration.power
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)
