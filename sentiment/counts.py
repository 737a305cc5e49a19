"""Texts as word counts: a sparse matrix in the form that arrays can be saved in."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from sentiment.scorer import Scorer
from sentiment.text import tokens


@dataclass(frozen=True, eq=False)
class TextCounts:
    """D texts over V words, compressed by rows (CSR): text i has the entries offsets[i] to offsets[i + 1].

    vocabulary: V words, in order of first appearance.
    offsets: (D + 1,) of int64.
    columns and occurrences: (entries,) of int32, the word and how often; entries of the same word add up.
    """

    vocabulary: tuple[str, ...]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    occurrences: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1

    def rows(self) -> NDArray[np.intp]:
        """Return the text that each entry belongs to, (entries,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def select(self, chosen: NDArray[np.bool_]) -> "TextCounts":
        """Return the texts that `chosen`, (D,), marks, over the same vocabulary."""
        entries = chosen[self.rows()]
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[chosen])])
        return TextCounts(self.vocabulary, offsets, self.columns[entries], self.occurrences[entries])

    def log_odds(self, scorer: Scorer) -> NDArray[np.float64]:
        """Return the log-odds of each text under `scorer`, (D,)."""
        table = np.fromiter(map(scorer.look_up, self.vocabulary), dtype=np.float64, count=len(self.vocabulary))
        weights = table[self.columns] * self.occurrences if len(self.vocabulary) else np.zeros(0)
        sums = np.bincount(self.rows(), weights=weights, minlength=len(self))
        return np.asarray(sums + scorer.bias, dtype=np.float64)


def count_texts(texts: Iterable[str]) -> TextCounts:
    """Count the words of each text; a word that a text repeats has an entry each time."""
    # Each new word gets the next number.
    index: defaultdict[str, int] = defaultdict(count().__next__)
    found, ends = array("i"), [0]
    for text in texts:
        found.extend(map(index.__getitem__, tokens(text)))
        ends.append(len(found))
    # A single character is no word; dropping them here, once each, takes less time than from every text.
    is_word = np.fromiter(map(len, index), dtype=np.int64, count=len(index)) > 1
    columns = np.array(found, dtype=np.int32)
    keep = is_word[columns]
    return TextCounts(
        tuple(word for word in index if len(word) > 1),
        np.concatenate([[0], np.cumsum(keep)])[ends],
        (np.cumsum(is_word, dtype=np.int32) - 1)[columns[keep]],
        np.ones(keep.sum(), dtype=np.int32),
    )
