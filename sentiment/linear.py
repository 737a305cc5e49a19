"""What every model is, whoever trained it: a weight for each term of a text, and a bias."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts
from sentiment.features import Features, features_named
from sentiment.scorer import Scorer, Weights
from sentiment.table import Table

Floats = NDArray[np.float64]


class Learned(Protocol):
    """What has learned labelled texts, and can tell what it would be without some: to be compared, not to be served."""

    def scorer(self) -> Scorer:
        """Return what scores texts by it."""

    def without(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> "Learned":
        """Return what it would be without texts that it has learned, as near as a text's class needs.

        texts, weight: as they were learned. Raises ValueError where they were not.
        """


class LinearModel(ABC):
    """A model whose log-odds of a text are its bias and the weights of the text's terms, added up.

    trainer: whose it is, by the name that TRAINER has for it.
    update: how it learns labels, in words.
    features: what it looks at in a text. Where it can't weigh all that its features name, these leave the rest out.
    vocabulary: V terms, sorted.
    class_texts: (2,), the number of texts of each class, 0 negative and 1 positive, that it was trained on.
    """

    trainer: ClassVar[str]
    update: ClassVar[str]

    vocabulary: tuple[str, ...]
    class_texts: Floats

    @property
    @abstractmethod
    def features(self) -> Features:
        """What it looks at in a text."""

    @abstractmethod
    def log_odds(self) -> Floats:
        """Return the weight of each term, (V,), natural logarithms."""

    @abstractmethod
    def bias(self) -> float:
        """Return the log-odds of a text without terms."""

    @abstractmethod
    def frequencies(self) -> Floats:
        """Return how often the texts that it was trained on have each term, (V,), smoothed, and then any other term."""

    @abstractmethod
    def added(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> Self:
        """Return the model that training on `texts` too would have given; a negative `weight` takes them back.

        texts: counted by `features`. weight: how many times each of them counts.
        Raises ValueError where texts are taken back that the model has not learned.
        """

    def without(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> Learned:
        """Return what it would be without texts, see Learned; here exactly that."""
        return self.added(texts, labels, weight=-weight)

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all that it is made of besides its vocabulary."""

    def table(self) -> Table:
        """Return the weights of the terms as they are served."""
        return Table.from_pairs(self.vocabulary, self.log_odds().tolist())

    def scorer(self) -> Scorer:
        """Return what scores texts by this model."""
        weights = Weights(zip(self.vocabulary, self.log_odds().tolist(), strict=True))
        return Scorer(weights.__getitem__, self.bias(), terms=features_named(self.features.name).terms)
