"""What is measured of each document, under a model."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.counts import DocumentCounts, count_documents
from sentiment.model import Model

# The measures whose distributions are compared, by the name of their test.
MEASURES = ("score", "unknown_words", "log_likelihood", "length")


@dataclass(frozen=True, eq=False)
class Documents:
    """D measured documents.

    counts: their words; only whether a document has a word is used.
    measures: (D,) of float32 for each of MEASURES: the log-odds; the share of words that the model does not
        know; the mean log-likelihood a word, in nats; the length in words. A document without words has
        neither unknown words nor unlikely ones: 0 for both.
    labelled: (D,), whether its label is known; wrong: (D,), whether the model says other than the label.
    """

    counts: DocumentCounts
    measures: dict[str, NDArray[np.float32]]
    labelled: NDArray[np.bool_]
    wrong: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.counts)

    def word_documents(self) -> NDArray[np.intp]:
        """Return the number of documents that have each word of `counts.vocabulary`."""
        return np.bincount(self.counts.columns, minlength=len(self.counts.vocabulary))

    def take(self, indices: NDArray[np.integer]) -> Self:
        """Return the documents at `indices`, repeats allowed, without measuring anything again."""
        starts, sizes = self.counts.offsets[indices], np.diff(self.counts.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        entries = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
        used, columns = np.unique(self.counts.columns[entries], return_inverse=True)
        vocabulary = tuple(self.counts.vocabulary[word] for word in used.tolist())
        counts = DocumentCounts(vocabulary, offsets, columns.astype(np.int32), self.counts.occurrences[entries])
        measures = {name: values[indices] for name, values in self.measures.items()}
        return type(self)(counts, measures, self.labelled[indices], self.wrong[indices])


@dataclass(frozen=True, eq=False)
class _Tables:
    """A model as one look-up a word: to a row of the arrays, of which the last is that of unknown words."""

    rows: dict[str, int]
    log_odds: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    bias: float


@lru_cache(maxsize=2)  # the served model and its successor: building the tables costs more than a check
def _tables(model: Model) -> _Tables:
    scorer = model.scorer()
    counts = np.append(model.counts.sum(axis=0), 0.0) + model.alpha
    # Frequent words first: those that a window has then share few pages of memory, which look-ups wait for.
    order = np.argsort(-counts[:-1], kind="stable").tolist()
    return _Tables(
        {model.vocabulary[row]: row for row in order},
        np.array([*map(scorer.table.__getitem__, model.vocabulary), 0.0]),
        np.log(counts / counts.sum()),
        scorer.bias,
    )


def measure(texts: Iterable[str], model: Model, labels: Iterable[int | None] | None = None) -> Documents:
    """Measure each text under `model`; see `measure_counts`."""
    return measure_counts(count_documents(texts), model, labels)


def measure_counts(counts: DocumentCounts, model: Model, labels: Iterable[int | None] | None = None) -> Documents:
    """Measure counted texts under `model`; `labels` are 0, 1 or None where unknown, one a text.

    The unigram model behind the log-likelihood is that of the model's own training counts, both classes
    together, with its smoothing. Estimated on the reference it would have seen the reference's rare words
    and not the window's, so that every window would look less likely; the training counts have seen
    neither side, which makes both exchangeable where nothing has drifted, as the test asks.

    Raises ValueError where there are not as many labels as texts.
    """
    tables = _tables(model)
    unknown = len(tables.rows)
    rows = np.fromiter(map(tables.rows.get, counts.vocabulary, repeat(unknown)), np.intp, count=len(counts.vocabulary))
    weights = [np.ones(len(rows)), rows == unknown, tables.log_odds[rows], tables.log_likelihood[rows]]
    occurrences = csr_array((counts.occurrences, counts.columns, counts.offsets), shape=(len(counts), len(rows)))
    length, unknown_words, log_odds, log_likelihood = (occurrences @ np.column_stack(weights)).T
    divisor = np.maximum(length, 1)
    score = tables.bias + log_odds
    measures = {
        "score": score,
        "unknown_words": unknown_words / divisor,
        "log_likelihood": log_likelihood / divisor,
        "length": length,
    }
    label_list = [None] * len(counts) if labels is None else list(labels)
    if len(label_list) != len(counts):
        raise ValueError(f"{len(counts)} texts came with {len(label_list)} labels")
    labelled = np.array([label is not None for label in label_list], dtype=np.bool_)
    positive = np.array([label == 1 for label in label_list], dtype=np.bool_)
    return Documents(
        counts,
        {name: values.astype(np.float32) for name, values in measures.items()},
        labelled,
        labelled & ((score > 0) != positive),
    )
