"""Scoring: the decision of multinomial naive Bayes as one look-up a word.

For two classes the log-odds of a text are linear in its word counts (Jurafsky and Martin, Speech and
Language Processing, chapter 4):

    log-odds(text) = log P(positive) / P(negative) + sum over words of log P(word | positive) / P(word | negative)

A word that the model does not know adds nothing. This module needs neither NumPy nor scikit-learn, so that
a serving process is small.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.manifest import Calibration
from contracts.names import CLASSES
from contracts.predict import Contribution, Score
from sentiment.calibration import NOT_CALIBRATED, probability
from sentiment.text import tokens


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model as it is served.

    look_up: from a word to its log-odds, 0 for one that the model does not know. bias: what a text starts from.
    calibration: how log-odds become a probability. terms: from a text to its words, each as often as it counts.
    weights: from a text to the log-odds of its words that are not 0, where there is a faster way than a look-up each.
    """

    look_up: Callable[[str], float]
    bias: float
    calibration: Calibration = NOT_CALIBRATED
    terms: Callable[[str], Sequence[str]] = tokens
    weights: Callable[[str], Sequence[float]] | None = None

    def log_odds(self, text: str) -> float:
        """Return the natural logarithm of P(positive) / P(negative) for `text`, in whatever order its words are."""
        return self.bias + math.fsum(self._known(text))

    def probability(self, text: str) -> float:
        """Return the calibrated probability of `positive`, from 0 to 1."""
        return self.score(text).probability

    def score(self, text: str) -> Score:
        """Return the class of `text`, the calibrated probability of `positive`, and the log-odds.

        A tie is negative, as in scikit-learn.
        """
        known = self._known(text)
        log_odds = self.bias + math.fsum(known)
        return Score(CLASSES[log_odds > 0], probability(log_odds, len(known), self.calibration), log_odds)

    def _known(self, text: str) -> Sequence[float]:
        return self.weights(text) if self.weights else [*filter(None, map(self.look_up, self.terms(text)))]

    def explain(self, text: str) -> list[Contribution]:
        """Return what each word that the model knows adds to the log-odds, the strongest first.

        They and the bias add up to the log-odds, since the model is linear: nothing is estimated.
        """
        counted = Counter(self.terms(text)).items()
        found = [Contribution(word, occurrences * self.look_up(word)) for word, occurrences in counted]
        return sorted((each for each in found if each.log_odds), key=lambda each: (-abs(each.log_odds), each.word))


class Weights(dict[str, float]):
    """Log-odds by word, 0 for one that it lacks: larger than a Table, and made in a hundredth of the time."""

    def __missing__(self, word: str) -> float:
        """Return 0, and keep nothing."""
        return 0.0
