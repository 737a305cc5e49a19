"""Texts as counts of their terms, words or sequences of them: a sparse matrix."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress, count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.features import WORDS, Features, is_word
from sentiment.scorer import Scorer

# What counting takes in memory: of each occurrence of a word its column and number, of each word its string, its place
# in a dictionary and its number.
OCCURRENCE_BYTES = 12
WORD_BYTES = 200
CHARACTER_BYTES = 4


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words that something is known of, so that whoever counts them need not look them up again; each once."""

    words: tuple[str, ...] = ()

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each word in `words`."""
        return dict(zip(self.words, range(len(self.words)), strict=True))


NOTHING_KNOWN = Vocabulary()


@dataclass(frozen=True, eq=False)
class TextCounts:
    """D texts over V words.

    vocabulary: V words: those of `known`, whether a text has them or not, then others in order of first appearance.
    occurrences: (D, V), how often each text has each word; entries of the same place add up.
    """

    vocabulary: tuple[str, ...]
    occurrences: csr_array[np.float64, tuple[int, int]]
    known: Vocabulary = NOTHING_KNOWN

    @property
    def others(self) -> tuple[str, ...]:
        """The words that are not `known`."""
        return self.vocabulary[len(self.known.words) :]

    def __len__(self) -> int:
        """Return the number of texts."""
        return self.occurrences.shape[0]

    def word_texts(self) -> NDArray[np.int64]:
        """Return the number of texts that have each word, (V,)."""
        by_word = self.occurrences.tocsc()
        by_word.sum_duplicates()  # a word that a text repeats has an entry each time
        return np.diff(by_word.indptr).astype(np.int64)

    def words(self) -> "TextCounts":
        """Return the texts as counts of single words, where there are other terms too; `known` are words."""
        single = np.ones(len(self.vocabulary), dtype=np.bool_)
        single[len(self.known.words) :] = [is_word(term) for term in self.others]
        return self if single.all() else replace(self.of_terms(single), known=self.known)

    def of_terms(self, chosen: NDArray[np.bool_]) -> "TextCounts":
        """Return the texts as counts of the terms that `chosen` marks, (V,)."""
        return TextCounts(tuple(compress(self.vocabulary, chosen.tolist())), self.occurrences[:, chosen])

    def select(self, chosen: NDArray[Any]) -> "TextCounts":
        """Return the texts that `chosen` marks, (D,) of truth values, or names by their places."""
        return TextCounts(self.vocabulary, self.occurrences[chosen], self.known)

    def log_odds(self, scorer: Scorer) -> NDArray[np.float64]:
        """Return the log-odds of each text under `scorer`, (D,)."""
        return np.asarray(self.occurrences @ self._table(scorer)) + scorer.bias

    def known_words(self, scorer: Scorer) -> NDArray[np.float64]:
        """Return how many of its words, repeats included, `scorer` knows of each text, (D,)."""
        return np.asarray(self.occurrences @ (self._table(scorer) != 0).astype(np.float64))

    def _table(self, scorer: Scorer) -> NDArray[np.float64]:
        return np.fromiter(map(scorer.look_up, self.vocabulary), dtype=np.float64, count=len(self.vocabulary))


class TextCounter:
    """Counts the terms of texts, one text after the other, so that no text needs to stay in memory."""

    def __init__(self, known: Vocabulary = NOTHING_KNOWN, features: Features = WORDS) -> None:
        """known: terms whose columns come first. features: what is counted."""
        self._known = known
        self._features = features
        # Each new word gets the next number.
        self._index: defaultdict[str, int] = defaultdict(count(len(known.words)).__next__, known.index)
        self._found, self._ends = array("i"), [0]
        self._word_bytes = 0

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._ends) - 1

    @property
    def size_bytes(self) -> int:
        """How much memory the counts take, at most."""
        return self._word_bytes + OCCURRENCE_BYTES * len(self._found)

    def add(self, text: str) -> None:
        """Count one more text; a word that a text repeats has an entry each time."""
        known = len(self._index)
        self._found.fromlist([*map(self._index.__getitem__, self._features.terms(text))])
        self._ends.append(len(self._found))
        new = len(self._index) - known
        self._word_bytes += WORD_BYTES * new + CHARACTER_BYTES * sum(map(len, islice(reversed(self._index), new)))

    def counts(self) -> TextCounts:
        """Return the texts as counts."""
        entries = (
            np.ones(len(self._found)),
            np.array(self._found, dtype=np.int32),
            np.array(self._ends, dtype=np.int32),
        )
        occurrences = csr_array(entries, shape=(len(self), len(self._index)))
        # Of words, a single character is none; dropping them here, once each, takes less time than from every text.
        known, least = len(self._known.words), self._features.least_characters
        others = [*islice(reversed(self._index), len(self._index) - known)][::-1]
        is_term = np.ones(len(self._index), dtype=np.bool_)
        is_term[known:] = [len(term) >= least for term in others]
        terms = (*self._known.words, *(term for term in others if len(term) >= least))
        return TextCounts(terms, occurrences if is_term.all() else occurrences[:, is_term], self._known)


def count_texts(texts: Iterable[str], features: Features = WORDS) -> TextCounts:
    """Count the terms of each text; a word that a text repeats has an entry each time."""
    counter = TextCounter(features=features)
    for text in texts:
        counter.add(text)
    return counter.counts()
