"""Scoring: the decision of multinomial naive Bayes as one look-up a word.

For two classes the log-odds of a text are linear in its word counts (Jurafsky and Martin, Speech and
Language Processing, chapter 4):

    log-odds(text) = log P(positive) / P(negative) + sum over words of log P(word | positive) / P(word | negative)

A word that the model does not know adds nothing. This module needs neither NumPy nor scikit-learn, so that
a serving process is small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.names import CLASSES
from contracts.predict import Score
from sentiment.text import tokens


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model as it is served.

    look_up: from a word to its log-odds, 0 for one that the model does not know. bias: what a text starts from.
    terms: from a text to what is looked up.
    """

    look_up: Callable[[str], float]
    bias: float
    terms: Callable[[str], Sequence[str]] = tokens

    def log_odds(self, text: str) -> float:
        """Return the natural logarithm of P(positive) / P(negative) for `text`."""
        return self.bias + sum(map(self.look_up, self.terms(text)))

    def probability(self, text: str) -> float:
        """Return the probability of `positive`, from 0 to 1."""
        return probability(self.log_odds(text))

    def score(self, text: str) -> Score:
        """Return the class of `text` and the probability of `positive`; a tie is negative, as in scikit-learn."""
        log_odds = self.log_odds(text)
        return Score(CLASSES[log_odds > 0], probability(log_odds))


class Weights(dict[str, float]):
    """Log-odds by word, 0 for one that it lacks: larger than a Table, and made in a hundredth of the time."""

    def __missing__(self, word: str) -> float:
        """Return 0, and keep nothing."""
        return 0.0


def probability(log_odds: float) -> float:
    """Return the logistic function of `log_odds`, without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)
