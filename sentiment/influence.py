"""How much one label may say: no more than a text of usual length would.

A text that is learned as a label counts as if it had at most as many terms, and each at most as many times, as
`USUAL_SHARE` of the first training data do. Without that, one label that holds a word a thousand times turns the word
around, and an update by long reviews outweighs the sentences that the model began with. A trainer that asks only
whether a text has a term counts the text itself for its share.
"""

from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from contracts.manifest import Bound, MovedWord
from sentiment.counts import TextCounts
from sentiment.linear import LinearModel

USUAL_SHARE = 0.99
UNIT = 1024
"""Counts are kept to multiples of 1/1024, as weights are: binary floating point adds and subtracts those exactly."""
MOVED_WORDS = 20
MOVED_CHARACTERS = 40


def usual(texts: TextCounts) -> Bound | None:
    """Return what all but a hundredth of some texts stay within; None without words."""
    if not texts.occurrences.nnz:
        return None
    occurrences = texts.occurrences.copy()
    occurrences.sum_duplicates()
    return Bound(_most(occurrences.sum(axis=1)), _most(occurrences.max(axis=1).toarray()))


def _most(numbers: NDArray[np.float64]) -> int:
    return max(int(np.quantile(numbers, USUAL_SHARE, method="lower")), 1)


def within(texts: TextCounts, bound: Bound | None) -> TextCounts:
    """Return texts as they count within a bound; as they are without one.

    A word counts `bound.times` times at most, and where all words then are more than `bound.words`, each for its share.
    """
    if bound is None:
        return texts
    counted = texts.occurrences
    counted.sum_duplicates()  # in place: entries of the same place add up anyway
    # Only the numbers are new: a run may have as many as memory has room for.
    numbers = np.minimum(counted.data, bound.times)
    bounded = csr_array((numbers, counted.indices, counted.indptr), shape=counted.shape)
    shares = np.minimum(bound.words / np.maximum(bounded.sum(axis=1), 1), 1)
    bounded.data *= np.repeat(shares, np.diff(bounded.indptr)) * UNIT
    np.floor(bounded.data, out=bounded.data)
    bounded.data /= UNIT
    return TextCounts(texts.vocabulary, bounded)


def moved(before: LinearModel, after: LinearModel, most: int = MOVED_WORDS) -> list[MovedWord]:
    """Return the words whose log-odds differ most between two models, that which moved most first."""
    known = dict(zip(before.vocabulary, before.log_odds().tolist(), strict=True))
    now = dict(zip(after.vocabulary, after.log_odds().tolist(), strict=True))
    # Ties are broken by the alphabet, so that the answer does not depend on the order of a set.
    words = known.keys() | now.keys()
    found = nsmallest(most, words, key=lambda word: (-abs(now.get(word, 0) - known.get(word, 0)), word))
    return [MovedWord(word[:MOVED_CHARACTERS], known.get(word, 0.0), now.get(word, 0.0)) for word in found]
