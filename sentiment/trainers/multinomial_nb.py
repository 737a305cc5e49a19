"""The trainer `multinomial-nb`: naive Bayes over word counts, by scikit-learn's pipeline, which defines the model."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model import Model
from sentiment.text import remove_punctuation

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def pipeline() -> "Pipeline":
    """Return the untrained scikit-learn pipeline that defines the model."""
    # Here, since who only reads models has no scikit-learn.
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(preprocessor=remove_punctuation), MultinomialNB())


def train(texts: Iterable[str], labels: Sequence[int]) -> Model:
    """Train on texts and their labels, 0 or 1, of equal number; no text is kept once it is counted.

    Raises ValueError where a label is missing or no text has a word.
    """
    if set(labels) != {0, 1}:
        raise ValueError("training needs texts of both labels, 0 and 1")
    vectorizer, bayes = pipeline().fit(texts, labels).named_steps.values()
    vocabulary = tuple(vectorizer.get_feature_names_out().tolist())
    return Model(vocabulary, bayes.feature_count_, bayes.class_count_, float(bayes.alpha))


def made_by() -> str:
    """Return what a manifest says of a model that `train` made."""
    return f"scikit-learn {version('scikit-learn')} MultinomialNB"


def read(vocabulary: tuple[str, ...], arrays: Mapping[str, NDArray[Any]]) -> Model:
    """Return the model of a vocabulary and of `Model.arrays`; raises KeyError, TypeError or ValueError."""
    counts, documents = arrays["counts"], arrays["documents"]
    # Before they are made larger.
    if counts.shape != (2, len(vocabulary)) or documents.shape != (2,):
        raise ValueError(f"its arrays are of the shapes {counts.shape} and {documents.shape}")
    return Model(vocabulary, counts.astype(np.float64), documents.astype(np.float64), alpha=float(arrays["alpha"]))
