"""The model: word counts by class, from which everything else follows.

Keeping counts, not probabilities, makes an update exact: the counts of new texts are added, and the model
is the one that training on all texts would have given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts
from sentiment.features import WORDS, Features
from sentiment.linear import Floats, LinearModel


@dataclass(frozen=True, eq=False)
class Model(LinearModel):
    """Multinomial naive Bayes over word counts, two classes: 0 negative, 1 positive.

    vocabulary: V words, sorted.
    counts: (2, V), how often each word occurs in the texts of each class.
    class_texts: (2,), the number of texts of each class.
    alpha: additive (Lidstone) smoothing, in occurrences.
    """

    trainer: ClassVar[str] = "multinomial-nb"
    update: ClassVar[str] = "update of counts (exact)"

    vocabulary: tuple[str, ...]
    counts: Floats
    class_texts: Floats
    alpha: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError where the parts don't fit together."""
        size = len(self.vocabulary)
        if self.counts.shape != (2, size) or self.class_texts.shape != (2,):
            raise ValueError(
                f"counts must be (2, {size}) and class_texts (2,), not {self.counts.shape}, {self.class_texts.shape}"
            )
        if not (np.isfinite(self.counts).all() and (self.counts >= 0).all()):
            raise ValueError("counts must be finite and not negative")
        if not (np.isfinite(self.class_texts).all() and (self.class_texts > 0).all()):
            raise ValueError("a model needs texts of both classes, negative and positive")
        if not (np.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError("alpha must be finite and greater than 0")

    def log_likelihoods(self) -> Floats:
        """Return log P(word | class), (2, V): (count + alpha) over the class's sum of the same."""
        smoothed = self.counts + self.alpha
        likelihoods: Floats = np.log(smoothed) - np.log(smoothed.sum(axis=1, keepdims=True))
        return likelihoods

    def log_odds(self) -> Floats:
        """Return log P(word | positive) / P(word | negative), (V,)."""
        negative, positive = self.log_likelihoods()
        odds: Floats = positive - negative
        return odds

    def bias(self) -> float:
        """Return log P(positive) / P(negative), the log-odds of a text without words."""
        return float(np.log(self.class_texts[1]) - np.log(self.class_texts[0]))

    @property
    def features(self) -> Features:
        """Words, as often as a text has them."""
        return WORDS

    def frequencies(self) -> Floats:
        """Return how often the texts of both classes have each word, (V + 1,), smoothed, and then any other word."""
        return np.append(self.counts.sum(axis=0), 0.0) + self.alpha

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the counts, and all else but the words."""
        return {"counts": self.counts, "documents": self.class_texts, "alpha": np.array(self.alpha)}

    def added(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> Self:
        """Return the model that training on `texts` too would have given; a negative `weight` takes them back.

        weight: how many times each text counts, one number or (D,). It is kept to multiples of 1/1024, which binary
        floating point adds and subtracts exactly.
        Raises ValueError where texts are taken back that the model has not counted.
        """
        label_array = np.asarray(labels, dtype=np.intp)
        if len(label_array) != len(texts):
            raise ValueError(f"{len(texts)} texts came with {len(label_array)} labels")
        weights = np.broadcast_to(np.round(np.asarray(weight) * 1024) / 1024, len(texts))
        if not np.isin(label_array, (0, 1)).all():
            raise ValueError("labels must be 0 or 1")
        known = dict(zip(self.vocabulary, range(len(self.vocabulary)), strict=True))
        new_words = [word for word in texts.vocabulary if word not in known]
        known.update(zip(new_words, range(len(known), len(known) + len(new_words)), strict=True))
        columns = np.array([known[word] for word in texts.vocabulary], dtype=np.intp)
        counts = np.zeros((2, len(known)))
        counts[:, : len(self.vocabulary)] = self.counts
        for label in (0, 1):
            counts[label, columns] += texts.occurrences.T @ (weights * (label_array == label))
        class_texts = self.class_texts + np.bincount(label_array, weights, minlength=2)
        if (counts < 0).any() or (class_texts < 0).any():
            raise ValueError("these texts were not all counted by this model, so they can't be taken back")
        vocabulary = list(self.vocabulary) + new_words
        # A word that no text has any more is not in the vocabulary that training would have found.
        keep: list[int] = np.flatnonzero(counts.any(axis=0)).tolist()
        if new_words:
            keep.sort(key=vocabulary.__getitem__)
        words = tuple([vocabulary[index] for index in keep])
        return replace(self, vocabulary=words, counts=np.ascontiguousarray(counts[:, keep]), class_texts=class_texts)
