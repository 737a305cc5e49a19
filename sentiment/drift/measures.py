"""What is measured of each text, under a model."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts
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

    def word_texts(self) -> NDArray[np.int64]:
        """Return the number of texts that have each word, (W,)."""
        by_word = self.counts.occurrences.tocsc()
        # The texts of a word stand in a row, repeats side by side.
        first = np.ones(by_word.nnz + 1, dtype=np.int64)
        first[1:-1] = by_word.indices[1:] != by_word.indices[:-1]
        first[by_word.indptr] = 1
        number_before = np.concatenate([[0], np.cumsum(first)])
        return np.diff(number_before[by_word.indptr])

    def take(self, indices: NDArray[np.integer]) -> Self:
        """Return the texts at `indices`, repeats allowed, without measuring anything again."""
        measures = {name: values[indices] for name, values in self.measures.items()}
        return type(self)(self.counts.select(indices), measures, self.labelled[indices], self.wrong[indices])


def measure(texts: TextCounts, model: Model, labels: Iterable[int | None] | None = None) -> MeasuredTexts:
    """Measure texts under `model`; `labels` are 0, 1 or None where unknown, one a text.

    The unigram model behind the log-likelihood is that of the model's own training counts, both classes
    together, with its smoothing. Estimated on the reference it would have seen the reference's rare words
    and not the window's, so that every window would look less likely; the training counts have seen
    neither side, which makes both exchangeable where nothing has drifted, as the test asks.
    Raises ValueError where there are not as many labels as texts.
    """
    tables = _tables(model)
    unknown = len(tables.rows)
    rows = np.fromiter(
        map(tables.rows.get, texts.vocabulary, repeat(unknown)), dtype=np.intp, count=len(texts.vocabulary)
    )
    weights = [np.ones(len(rows)), rows == unknown, tables.log_odds[rows], tables.log_likelihood[rows]]
    length, unknown_words, log_odds, log_likelihood = (texts.occurrences @ np.column_stack(weights)).T
    divisor = np.maximum(length, 1)
    score = tables.bias + log_odds
    measures = {
        "score": score,
        "unknown_words": unknown_words / divisor,
        "log_likelihood": log_likelihood / divisor,
        "length": length,
    }
    label_list = [None] * len(score) if labels is None else list(labels)
    if len(label_list) != len(score):
        raise ValueError(f"{len(score)} texts came with {len(label_list)} labels")
    labelled = np.array([label is not None for label in label_list], dtype=np.bool_)
    positive = np.array([label == 1 for label in label_list], dtype=np.bool_)
    return MeasuredTexts(
        texts,
        {name: values.astype(np.float32) for name, values in measures.items()},
        labelled,
        labelled & ((score > 0) != positive),
    )


@dataclass(frozen=True, eq=False)
class _Tables:
    """A model as one look-up a word: to a row of the arrays, of which the last is that of unknown words."""

    rows: dict[str, int]
    log_odds: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    bias: float


@lru_cache(maxsize=2)  # the served model and its successor: building the tables costs more than a check
def _tables(model: Model) -> _Tables:
    counts = np.append(model.counts.sum(axis=0), 0.0) + model.alpha
    # Frequent words first: those that a window has then share few pages of memory, which look-ups wait for.
    order = np.argsort(-counts[:-1], kind="stable").tolist()
    return _Tables(
        {model.vocabulary[row]: row for row in order},
        np.append(model.log_odds(), 0.0),
        np.log(counts / counts.sum()),
        model.bias(),
    )
