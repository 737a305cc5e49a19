"""Training from scratch, through scikit-learn."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from sentiment.artifact import HOLDOUT_PART, REFERENCE_PART, Artifact, Holdout, pack
from sentiment.counts import count_documents
from sentiment.data import Corpus
from sentiment.drift import Reference
from sentiment.evaluation import evaluate
from sentiment.model import Model
from sentiment.text import remove_punctuation

SPLIT_SEED = 20111  # fixed, so that the same data gives the same holdout


def pipeline() -> Pipeline:
    """Return the untrained scikit-learn pipeline that defines the model."""
    return make_pipeline(CountVectorizer(preprocessor=remove_punctuation), MultinomialNB())


def train(texts: Sequence[str], labels: Sequence[int]) -> Model:
    """Train on texts and their labels, 0 or 1, of equal length.

    Raises ValueError where a label is missing or no text has a word.
    """
    if set(labels) != {0, 1}:
        raise ValueError("training needs texts of both labels, 0 and 1")
    fitted = pipeline().fit(texts, labels)
    vectorizer, bayes = fitted[0], fitted[1]
    vocabulary = tuple(vectorizer.get_feature_names_out().tolist())
    return Model(vocabulary, bayes.feature_count_, bayes.class_count_, float(bayes.alpha))


def train_artifact(corpus: Corpus, *, holdout_share: float = 0.0) -> Artifact:
    """Train on a corpus, and keep what later comparisons need.

    holdout_share: the share of texts, stratified by label, that is kept out of training. The artifact then
    carries them as counts (for the gate that a retrained model must pass) and as statistics (the reference
    that drift is measured against), and its metrics are measured on them.
    """
    texts, labels = corpus.texts, corpus.labels
    parts: dict[str, bytes] = {}
    metrics: dict[str, object] = {}
    if holdout_share > 0:
        texts, held_texts, labels, held_labels = train_test_split(
            texts, labels, test_size=holdout_share, random_state=SPLIT_SEED, stratify=labels
        )
    model = train(texts, labels)
    if holdout_share > 0:
        documents = count_documents(held_texts)
        parts[HOLDOUT_PART] = Holdout(documents, np.array(held_labels, dtype=np.int8)).to_bytes()
        metrics = evaluate(documents.log_odds(model.scorer()), held_labels).to_json()
        parts[REFERENCE_PART] = Reference.from_texts(held_texts, model, held_labels).to_bytes()
    return pack(
        model,
        parts,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trainer=f"scikit-learn {version('scikit-learn')} MultinomialNB",
        data=corpus.name,
        examples=len(texts),
        metrics=metrics,
        parent=None,
    )
