"""What is measured of each text, under a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts, Vocabulary
from sentiment.model import Model

# The measures whose distributions are compared, by the name of their test.
MEASURES = ("score", "unknown_words", "log_likelihood", "length")


@dataclass(frozen=True, eq=False)
class MeasuredTexts:
    """D measured texts.

    counts: of D texts over W words.
    measures: (D,) of float32 for each of MEASURES: the log-odds; the share of words that the model does not
        know; the mean log-likelihood a word, in nats; the length in words. A text without words has
        neither unknown words nor unlikely ones: 0 for both.
    labelled: (D,), whether its label is known; wrong: (D,), whether the model says other than the label.
    """

    counts: TextCounts
    measures: dict[str, NDArray[np.float32]]
    labelled: NDArray[np.bool_]
    wrong: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.labelled)


def measure(texts: TextCounts, model: Model, labels: Sequence[int | None] | None = None) -> MeasuredTexts:
    """Measure texts under `model`; `labels` are 0, 1 or None where unknown, one a text.

    The unigram model behind the log-likelihood is that of the model's own training counts, both classes
    together, with its smoothing. Estimated on the reference it would have seen the reference's rare words
    and not the window's, so that every window would look less likely; the training counts have seen
    neither side, which makes both exchangeable where nothing has drifted, as the test asks.
    Raises ValueError where there are not as many labels as texts.
    """
    per_word = np.concatenate([_of_known(model, texts.known), _per_word(model, texts.others)])
    length, unknown_words, log_odds, log_likelihood = (texts.occurrences @ per_word).T
    divisor = np.maximum(length, 1)
    score = model.bias() + log_odds
    measures = {
        "score": score,
        "unknown_words": unknown_words / divisor,
        "log_likelihood": log_likelihood / divisor,
        "length": length,
    }
    # An unknown label, None, becomes NaN.
    truth = np.full(len(texts), np.nan) if labels is None else np.array(labels, dtype=np.float64)
    if len(truth) != len(texts):
        raise ValueError(f"{len(texts)} texts came with {len(truth)} labels")
    labelled = ~np.isnan(truth)
    wrong = labelled & ((score > 0) != (truth == 1))
    return MeasuredTexts(texts, {name: values.astype(np.float32) for name, values in measures.items()}, labelled, wrong)


@lru_cache(maxsize=2)  # the served model and its successor: building the tables costs more than a check
def _tables(model: Model) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Return the row of each word, and (V + 1, 2) log-odds and log-likelihoods, the last row that of unknown words."""
    counts = np.append(model.counts.sum(axis=0), 0.0) + model.alpha
    # Frequent words first: those that a window has then share few pages of memory, which look-ups wait for.
    order = np.argsort(-counts[:-1], kind="stable").tolist()
    weights = np.column_stack([np.append(model.log_odds(), 0.0), np.log(counts / counts.sum())])
    return {model.vocabulary[row]: row for row in order}, weights


def _per_word(model: Model, words: Sequence[str]) -> NDArray[np.float64]:
    """Return what each word adds to a text, (W, 4): a word, an unknown one, log-odds, log-likelihood."""
    row_of, weights = _tables(model)
    unknown = len(row_of)
    rows = np.fromiter(map(row_of.get, words, repeat(unknown)), dtype=np.intp, count=len(words))
    return np.column_stack([np.ones(len(rows)), rows == unknown, weights[rows]])


@lru_cache(maxsize=2)  # as the tables: a reference is that of a model
def _of_known(model: Model, known: Vocabulary) -> NDArray[np.float64]:
    return _per_word(model, known.words)
