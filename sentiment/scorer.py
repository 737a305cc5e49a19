"""Scoring: the decision of multinomial naive Bayes as one look-up a word.

For two classes the log-odds of a text are linear in its word counts (Jurafsky and Martin, Speech and
Language Processing, chapter 4):

    log-odds(text) = log P(positive) / P(negative) + sum over words of log P(word | positive) / P(word | negative)

A word that the model does not know adds nothing. This module needs neither NumPy nor scikit-learn, so that
a serving process is small.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sentiment.text import tokens

LABELS = ("negative", "positive")
# Words as they are asked for: this many of those in English reviews are nine tenths of the text.
CACHED_WORDS = 10_000
MAX_CACHED_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model as it is served: log-odds by word, and the bias that a text starts from."""

    table: Mapping[str, float]
    bias: float
    _look_up: Callable[[str], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put a cache before the table: a dictionary's own look-up costs a tenth of a packed table's."""
        object.__setattr__(self, "_look_up", _Cache(self.table).__getitem__)

    @classmethod
    def from_pairs(cls, words: Iterable[str], log_odds: Iterable[float], bias: float) -> "Scorer":
        """Build a scorer from words and their log-odds, of equal length."""
        return cls(dict(zip(words, log_odds, strict=True)), bias)

    def log_odds(self, text: str) -> float:
        """Return the natural logarithm of P(positive) / P(negative) for `text`."""
        return self.bias + sum(map(self._look_up, tokens(text)))

    def probability(self, text: str) -> float:
        """Return the probability of `positive`, from 0 to 1."""
        return probability(self.log_odds(text))

    def predict(self, text: str) -> tuple[str, float]:
        """Return the label of `text` and the probability of `positive`; a tie is negative, as in scikit-learn."""
        log_odds = self.log_odds(text)
        return LABELS[log_odds > 0], probability(log_odds)


class _Cache(dict[str, float]):
    """What was looked up in a table, 0 for what it lacks; emptied when full, as that of `re` is."""

    def __init__(self, table: Mapping[str, float]) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, word: str) -> float:
        """Look in the table."""
        number = self._table.get(word, 0.0)
        if len(word) <= MAX_CACHED_CHARACTERS:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = number
        return number


def probability(log_odds: float) -> float:
    """Return the logistic function of `log_odds`, without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)
