"""The trainer `nb-logistic`: logistic regression over the presence of word sequences, weighted by naive Bayes.

From Wang and Manning, Baselines and Bigrams: Simple, Good Sentiment and Topic Classification, ACL 2012: with x(t) 1 for
a term that a text has and 0 for all others, and r(t) the term's log-odds under naive Bayes,

    log-odds(text) = bias + sum over terms of c(t) r(t) x(t)

where c is what logistic regression fits to r(t) x(t). So the weight of a term is c(t) r(t), and the model is linear.

The first corpus decides which sequences there are: those that are in three of its texts or more. Labels that are
learned later bring single words, and all is fitted again to the corpus and the labels, of which the model keeps which
terms each text has. So it depends on nothing but these: taking a label back is fitting without it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts, Vocabulary, count_texts
from sentiment.examples import SMOOTHING, Examples, log_ratios
from sentiment.features import (
    LONGEST_SEQUENCE,
    SEQUENCES,
    Features,
    is_word,
    sequence_words,
    sequences,
    sequences_by_length,
)
from sentiment.linear import Floats, LinearModel
from sentiment.refitting import Refitted

LEAST_TEXTS = 3
INVERSE_REGULARISATION = 0.1


@dataclass(frozen=True, eq=False)
class NbLogistic(LinearModel):
    """Logistic regression over the naive Bayes log-odds of the terms that a text has.

    vocabulary: V terms, sorted: those of the first corpus, and single words of labels.
    weights: (V,), the log-odds that each term adds. intercept: those that a text without terms has.
    examples: the texts that it was fitted to.
    """

    trainer: ClassVar[str] = "nb-logistic"
    update: ClassVar[str] = "fitted again to the corpus and the labels"

    vocabulary: tuple[str, ...]
    weights: Floats
    intercept: float
    examples: Examples
    class_texts: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Raise ValueError where the parts don't fit together."""
        object.__setattr__(self, "class_texts", _class_texts(self.examples))
        if self.weights.shape != (len(self.vocabulary),) or not np.isfinite(self.weights).all():
            raise ValueError(f"its weights must be {len(self.vocabulary)} finite numbers")
        if not np.isfinite(self.intercept):
            raise ValueError("its intercept must be finite")

    @classmethod
    def fitted(cls, vocabulary: Sequence[str], examples: Examples) -> Self:
        """Fit to texts over these terms, in any order; those that no text has are left out.

        Raises ValueError where a class has no text.
        """
        from sklearn.linear_model import LogisticRegression  # here, since who only reads models has no scikit-learn

        _class_texts(examples)
        found = np.flatnonzero(examples.texts_with(len(vocabulary))).tolist()
        found.sort(key=vocabulary.__getitem__)
        places = np.zeros(len(vocabulary), dtype=np.int32)
        places[found] = np.arange(len(found))
        examples, terms = examples.placed(places), len(found)
        ratios = log_ratios(*(examples.texts_with(terms, label) for label in (0, 1)))
        model = LogisticRegression(C=INVERSE_REGULARISATION, solver="liblinear")
        model.fit(examples.weighted(ratios), examples.labels, sample_weight=examples.weights)
        words = tuple([vocabulary[index] for index in found])
        return cls(words, model.coef_[0] * ratios, float(model.intercept_[0]), examples)

    @cached_property
    def features(self) -> Features:
        """Single words, and the sequences that it has."""
        known = frozenset(self.vocabulary)
        return replace(SEQUENCES, terms=lambda text: [t for t in sequences(text) if is_word(t) or t in known])

    def log_odds(self) -> Floats:
        """Return the weight of each term, (V,)."""
        return self.weights

    def bias(self) -> float:
        """Return the intercept."""
        return self.intercept

    def frequencies(self) -> Floats:
        """Return how many texts have each term, (V + 1,), smoothed, and then any other term."""
        return self.examples.texts_with(len(self.vocabulary) + 1) + SMOOTHING

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the weights, and the texts as their terms, labels and weights."""
        examples = self.examples.arrays()
        return {"log_odds": self.weights, "intercept": np.array(self.intercept), **examples}

    def added(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> Self:
        """Return the model fitted to `texts` too; those of a negative `weight` are left out from now on.

        Raises ValueError where texts are taken back that the model has not learned.
        """
        known = frozenset(self.vocabulary)
        vocabulary = *self.vocabulary, *(term for term in texts.vocabulary if term not in known and is_word(term))
        place_of = dict(zip(vocabulary, range(len(vocabulary)), strict=True))
        more = Examples.of(texts, place_of, labels, weight)
        back = more.select(more.weights < 0)
        kept = self.examples.without(replace(back, weights=-back.weights))
        return self.fitted(vocabulary, self.examples.select(kept) + more.select(more.weights > 0))

    def without(self, texts: TextCounts, labels: Sequence[int], *, weight: float | Floats = 1.0) -> Refitted:
        """Return what it would be without texts, nearly, and many times as fast as `added`."""
        return self._refitted.without(texts, labels, weight=weight)

    @cached_property
    def _refitted(self) -> Refitted:
        return Refitted.of(self.vocabulary, self.examples, self.weights, self.intercept, INVERSE_REGULARISATION)


def train(texts: Iterable[str], labels: Sequence[int]) -> NbLogistic:
    """Train on texts, which are read several times, and their labels, 0 or 1; none is kept once it is counted.

    Raises ValueError for an iterator, where a label is missing, or where no word is in LEAST_TEXTS texts.
    """
    if isinstance(texts, Iterator):
        raise ValueError("texts that can be read only once can't be trained on: give a list")
    if set(labels) != {0, 1}:
        raise ValueError("training needs texts of both labels, 0 and 1")
    terms = frequent_terms(texts)
    if not terms:
        raise ValueError(f"no word is in {LEAST_TEXTS} texts or more: an empty vocabulary")
    counted = count_texts(texts, replace(SEQUENCES, terms=lambda text: [t for t in sequences(text) if t in terms]))
    return NbLogistic.fitted(counted.vocabulary, Examples.of(counted, Vocabulary(counted.vocabulary).index, labels))


def frequent_terms(texts: Iterable[str]) -> set[str]:
    """Return the terms that LEAST_TEXTS texts or more have.

    Shorter ones first: a sequence is in no more texts than its parts, so that most need no counting (Agrawal and
    Srikant, Fast Algorithms for Mining Association Rules, 1994).
    """
    frequent = set[str]()
    for length in range(LONGEST_SEQUENCE):
        texts_with = Counter[str]()
        for text in texts:
            found = sequences_by_length(sequence_words(text), length + 1)
            if length:
                parts = pairwise(map(frequent.__contains__, found[length - 1]))
                texts_with.update(
                    {one for one, (begin, end) in zip(found[length], parts, strict=True) if begin and end}
                )
            else:
                texts_with.update(set(found[length]))
        frequent.update(one for one, number in texts_with.items() if number >= LEAST_TEXTS)
    return frequent


def _class_texts(examples: Examples) -> Floats:
    """Return the number of texts of each class, (2,), each as often as it counts; raises ValueError where one is 0."""
    class_texts = np.bincount(examples.labels, examples.weights, minlength=2).astype(np.float64, copy=False)
    if not (np.isfinite(class_texts).all() and (class_texts > 0).all()):
        raise ValueError("a model needs texts of both classes, negative and positive")
    return class_texts


def made_by() -> str:
    """Return what a manifest says of a model that `train` made."""
    return f"scikit-learn {version('scikit-learn')} LogisticRegression"


def read(vocabulary: tuple[str, ...], arrays: Mapping[str, NDArray[Any]]) -> NbLogistic:
    """Return the model of a vocabulary and of `NbLogistic.arrays`; raises KeyError, TypeError or ValueError."""
    examples = Examples.read(arrays, len(vocabulary))
    return NbLogistic(vocabulary, arrays["log_odds"].astype(np.float64), float(arrays["intercept"]), examples)
