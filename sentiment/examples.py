"""Labelled texts as the terms that each has: what a trainer that starts anew each time needs of its texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.counts import TextCounts

Floats = NDArray[np.float64]
SMOOTHING = 1.0
_ROWS = ("columns", "ends", "labels", "weights")


@dataclass(frozen=True, eq=False)
class Examples:
    """D labelled texts over V terms.

    columns: the places of their terms, text after text, rising within each. ends: (D + 1,), where the terms of each
    text begin, and those of the last one end. labels: (D,), 0 or 1. weights: (D,), how many times each text counts.
    """

    columns: NDArray[np.int32]
    ends: NDArray[np.int32]
    labels: NDArray[np.int8]
    weights: Floats

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.labels)

    @classmethod
    def of(
        cls, texts: TextCounts, place_of: Mapping[str, int], labels: Sequence[int], weight: float | Floats = 1.0
    ) -> Self:
        """Return counted texts; place_of: of each term, without those that are left out.

        weight: how many times each text counts, one number or (D,). A text has a term or not: where its terms, all
        alike, count less than once (see sentiment.influence), it is the text that counts for as much less. A text of so
        many terms that nothing is left of what it counts for is left out.
        Raises ValueError where labels are missing, or not 0 or 1.
        """
        if len(labels) != len(texts):
            raise ValueError(f"{len(texts)} texts came with {len(labels)} labels")
        if not set(labels) <= {0, 1}:
            raise ValueError("labels must be 0 or 1")
        weights, begins = np.array(np.broadcast_to(weight, len(texts)), dtype=np.float64), texts.occurrences.indptr
        filled = begins[1:] > begins[:-1]
        weights[filled] *= np.minimum(texts.occurrences.data[begins[:-1][filled]], 1)
        places = np.array([place_of.get(term, -1) for term in texts.vocabulary], dtype=np.int32)
        if (places < 0).any():
            texts, places = texts.of_terms(places >= 0), places[places >= 0]
        counted = texts.occurrences
        shape = len(texts), int(places.max(initial=0)) + 1
        ones = np.ones(counted.nnz, dtype=np.int8)
        entries = csr_array((ones, places[counted.indices], counted.indptr), shape=shape)
        entries.sum_duplicates()
        columns, ends = entries.indices.astype(np.int32), entries.indptr.astype(np.int32)
        found = cls(columns, ends, np.array(labels, dtype=np.int8), weights)
        return found if weights.all() else found.select(weights != 0)

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], terms: int) -> Self:
        """Return the texts of `arrays`, over so many terms; raises KeyError, TypeError or ValueError."""
        columns, ends, labels, weights = rows = [arrays[name] for name in _ROWS]
        if not all(array.ndim == 1 for array in rows):
            raise ValueError("an array of its texts is not a row")
        if not all(np.issubdtype(array.dtype, np.integer) for array in (columns, ends, labels)):
            raise ValueError("its terms, ends and labels are not whole numbers")
        if not len(ends) == len(labels) + 1 == len(weights) + 1 or ends[0] != 0 or ends[-1] != len(columns):
            raise ValueError("its texts have not each their terms, a label and a weight")
        if (np.diff(ends) < 0).any() or not np.isin(labels, (0, 1)).all() or not (weights > 0).all():
            raise ValueError(
                "its texts have ends that fall, labels that are not 0 or 1, or weights that are not above 0"
            )
        not_rising = np.flatnonzero(columns[1:] <= columns[:-1]) + 1
        if not np.isin(not_rising, ends).all() or not ((columns >= 0) & (columns < terms)).all():
            raise ValueError("its texts have terms that are not in its vocabulary, or not in order")
        return cls(columns.astype(np.int32), ends.astype(np.int32), labels.astype(np.int8), weights.astype(np.float64))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `read` takes."""
        return {name: getattr(self, name) for name in _ROWS}

    def texts_with(self, terms: int, label: int | None = None) -> Floats:
        """Return how many texts have each of so many terms, (V,); of one label, each text as often as it counts."""
        if label is None:
            return np.bincount(self.columns, minlength=terms).astype(np.float64)
        weights = np.repeat(self.weights * (self.labels == label), np.diff(self.ends))
        return np.bincount(self.columns, weights, minlength=terms).astype(np.float64, copy=False)

    def weighted(self, weights: Floats) -> "csr_array[np.float64, tuple[int, int]]":
        """Return (D, V): the weight of each term, (V,), where a text has it, and else 0."""
        entries = weights[self.columns], self.columns, self.ends
        return csr_array(entries, shape=(len(self), len(weights)))

    def placed(self, places: NDArray[np.int32]) -> Self:
        """Return the same texts, with each term at its new place, (V,)."""
        columns = places[self.columns]
        entries = csr_array((np.ones(len(columns), dtype=np.int8), columns, self.ends))
        entries.sort_indices()
        return replace(self, columns=entries.indices)

    def select(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the texts that `chosen` marks, (D,)."""
        lengths = np.diff(self.ends)
        return replace(
            self,
            columns=self.columns[np.repeat(chosen, lengths)],
            ends=np.append(0, np.cumsum(lengths[chosen])).astype(np.int32),
            labels=self.labels[chosen],
            weights=self.weights[chosen],
        )

    def __add__(self, other: "Examples") -> "Examples":
        """Return both sets of texts together."""
        return Examples(
            np.append(self.columns, other.columns),
            np.append(self.ends, self.ends[-1] + other.ends[1:]),
            np.append(self.labels, other.labels),
            np.append(self.weights, other.weights),
        )

    def without(self, others: "Examples", among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Return which texts are left without the last one like each of `others`, (D,); raises ValueError for none.

        among: which there are, (D,); without, all.
        """
        kept = np.ones(len(self), dtype=np.bool_) if among is None else among.copy()
        lengths = np.diff(self.ends)
        for begin, end, label, weight in zip(others.ends, others.ends[1:], others.labels, others.weights, strict=False):
            terms = others.columns[begin:end]
            alike = np.flatnonzero(
                kept & (lengths == len(terms)) & (self.labels == label) & (self.weights == weight)
            ).tolist()
            same = (row for row in alike[::-1] if np.array_equal(self.columns[self.ends[row] :][: len(terms)], terms))
            row = next(same, None)
            if row is None:
                raise ValueError("these texts were not all learned by this model, so they can't be taken back")
            kept[row] = False
        return kept


def log_ratios(negative: Floats, positive: Floats) -> Floats:
    """Return the naive Bayes log-odds of terms by how many texts of each class have them, (V,); 0 where none has."""
    there = negative + positive > 0
    negative, positive = (np.where(there, texts + SMOOTHING, 0) for texts in (negative, positive))
    found: list[Floats] = [
        np.log(texts / texts.sum(), where=there, out=np.zeros(len(texts))) for texts in (negative, positive)
    ]
    return found[1] - found[0]
