"""Texts as word counts: a sparse matrix."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.scorer import Scorer
from sentiment.text import tokens


@dataclass(frozen=True, eq=False)
class TextCounts:
    """D texts over V words.

    vocabulary: V words, in order of first appearance.
    occurrences: (D, V), how often each text has each word; entries of the same place add up.
    """

    vocabulary: tuple[str, ...]
    occurrences: csr_array[np.float64, tuple[int, int]]

    def __len__(self) -> int:
        """Return the number of texts."""
        return self.occurrences.shape[0]

    def select(self, chosen: NDArray[Any]) -> "TextCounts":
        """Return the texts that `chosen` marks, (D,) of truth values, or names by their places."""
        return TextCounts(self.vocabulary, self.occurrences[chosen])

    def log_odds(self, scorer: Scorer) -> NDArray[np.float64]:
        """Return the log-odds of each text under `scorer`, (D,)."""
        table = np.fromiter(map(scorer.look_up, self.vocabulary), dtype=np.float64, count=len(self.vocabulary))
        return np.asarray(self.occurrences @ table) + scorer.bias


def count_texts(texts: Iterable[str]) -> TextCounts:
    """Count the words of each text; a word that a text repeats has an entry each time."""
    # Each new word gets the next number.
    index: defaultdict[str, int] = defaultdict(count().__next__)
    found, ends = array("i"), [0]
    for text in texts:
        found.extend(map(index.__getitem__, tokens(text)))
        ends.append(len(found))
    entries = (np.ones(len(found)), np.array(found, dtype=np.int32), np.array(ends, dtype=np.int32))
    occurrences = csr_array(entries, shape=(len(ends) - 1, len(index)))
    # A single character is no word; dropping them here, once each, takes less time than from every text.
    is_word = np.fromiter(map(len, index), dtype=np.int64, count=len(index)) > 1
    return TextCounts(tuple(word for word in index if len(word) > 1), occurrences[:, is_word])
