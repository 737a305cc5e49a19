"""Scoring: the decision of multinomial naive Bayes as one look-up a word.

For two classes the log-odds of a text are linear in its word counts (Jurafsky and Martin, Speech and
Language Processing, chapter 4):

    log-odds(text) = log P(positive) / P(negative) + sum over words of log P(word | positive) / P(word | negative)

A word that the model does not know adds nothing. This module needs neither NumPy nor scikit-learn, so that
a serving process is small.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

from sentiment.text import tokens

LABELS = ("negative", "positive")


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model as it is served: log-odds by word, and the bias that a text starts from."""

    table: dict[str, float]
    bias: float

    @classmethod
    def from_pairs(cls, words: Iterable[str], log_odds: Iterable[float], bias: float) -> "Scorer":
        """Build a scorer from words and their log-odds, of equal length."""
        # Words with equal counts have equal log-odds: keeping one object a value saves megabytes.
        kept: dict[float, float] = {}
        table = {word: kept.setdefault(value, value) for word, value in zip(words, log_odds, strict=True)}
        return cls(table, bias)

    def log_odds(self, text: str) -> float:
        """Return the natural logarithm of P(positive) / P(negative) for `text`."""
        return self.bias + sum(map(self.table.get, tokens(text), repeat(0.0)))

    def probability(self, text: str) -> float:
        """Return the probability of `positive`, from 0 to 1."""
        return probability(self.log_odds(text))

    def predict(self, text: str) -> tuple[str, float]:
        """Return the label of `text` and the probability of `positive`; a tie is negative, as in scikit-learn."""
        log_odds = self.log_odds(text)
        return LABELS[log_odds > 0], probability(log_odds)


def probability(log_odds: float) -> float:
    """Return the logistic function of `log_odds`, without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)
