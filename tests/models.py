"""What tests say of the models that they make, and ask of those that they get."""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from contracts.manifest import About, Bound
from sentiment.counts import TextCounts
from sentiment.gate import Labelled
from sentiment.influence import within
from sentiment.linear import LinearModel
from sentiment.model import Model

M = TypeVar("M", bound=LinearModel)
ABOUT = About(trained_at="2026-01-02T03:04:05+00:00", trainer="test", data="tests", examples=10)
IMDB_VOCABULARY_WORDS = 121_000


def equal(one: LinearModel, other: LinearModel) -> bool:
    """Tell whether both are of one kind and hold the very same numbers."""
    numbers, others = one.arrays(), other.arrays()
    return (
        type(one) is type(other)
        and one.vocabulary == other.vocabulary
        and numbers.keys() == others.keys()
        and all(np.array_equal(numbers[name], others[name]) for name in numbers)
    )


def labelled(texts: TextCounts, labels: Sequence[int], *, bound: Bound | None = None, weight: float = 1) -> Labelled:
    """Texts with labels as a run learns them."""
    return Labelled(texts, within(texts, bound), np.array(labels, dtype=np.intp), np.full(len(labels), weight))


def taken_back(learned: Labelled, model: M) -> M:
    """The model without labels that it has learned."""
    return model.added(learned.counted, learned.labels.tolist(), weight=-learned.weights)


@cache
def sized(words: int) -> Model:
    """A model that says positive of `good` and negative of `bad`, with a vocabulary of a given size."""
    generator = np.random.default_rng(7)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = {"good", "bad"}
    while len(vocabulary) < words:
        vocabulary.add("".join(generator.choice(letters, generator.integers(4, 13))))
    ordered = tuple(sorted(vocabulary))
    counts = generator.poisson(1.0, (2, words)).astype(np.float64)
    counts[:, ordered.index("good")] = 1, 1000
    counts[:, ordered.index("bad")] = 1000, 1
    return Model(ordered, counts, np.array([10.0, 10.0]), 1.0)
