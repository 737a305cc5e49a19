"""What is measured of each text, under a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts, Vocabulary
from sentiment.features import is_word
from sentiment.linear import LinearModel

# The measures whose distributions are compared, by the name of their test.
MEASURES = ("score", "unknown_words", "log_likelihood", "length")


@dataclass(frozen=True, eq=False)
class MeasuredTexts:
    """D measured texts.

    counts: of D texts over W terms.
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


def measure(texts: TextCounts, model: LinearModel, labels: Sequence[int | None] | None = None) -> MeasuredTexts:
    """Measure texts under `model`; `labels` are 0, 1 or None where unknown, one a text.

    The unigram model behind the log-likelihood is that of the model's own training counts, both classes
    together, with its smoothing. Estimated on the reference it would have seen the reference's rare words
    and not the window's, so that every window would look less likely; the training counts have seen
    neither side, which makes both exchangeable where nothing has drifted, as the test asks.
    Raises ValueError where there are not as many labels as texts.
    """
    per_term = np.concatenate([_of_known(model, texts.known), _per_term(model, texts.others)])
    length, unknown_words, log_odds, log_likelihood = np.asarray(texts.occurrences @ per_term).T
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
def _tables(model: LinearModel) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Return the row of each term, and (V + 1, 4) what a term adds to a text, the last row that of unknown words.

    That is a word, an unknown word, log-odds, and a word's log-likelihood; a sequence of words adds log-odds alone.
    """
    frequencies = model.frequencies()
    word = np.fromiter((*map(is_word, model.vocabulary), True), dtype=np.float64, count=len(frequencies))
    unknown = np.zeros(len(frequencies))
    unknown[-1] = 1
    log_likelihoods = word * np.log(frequencies / (word @ frequencies))
    # Frequent words first: those that a window has then share few pages of memory, which look-ups wait for.
    order = np.argsort(-frequencies[:-1], kind="stable").tolist()
    weights = np.column_stack([word, unknown, np.append(model.log_odds(), 0.0), log_likelihoods])
    return {model.vocabulary[row]: row for row in order}, weights


def _per_term(model: LinearModel, terms: Sequence[str]) -> NDArray[np.float64]:
    """Return what each term adds to a text, (W, 4), as the tables have it."""
    row_of, weights = _tables(model)
    unknown = len(row_of)
    return weights[np.fromiter(map(row_of.get, terms, repeat(unknown)), dtype=np.intp, count=len(terms))]


@lru_cache(maxsize=2)  # as the tables: a reference is that of a model
def _of_known(model: LinearModel, known: Vocabulary) -> NDArray[np.float64]:
    return _per_term(model, known.words)
