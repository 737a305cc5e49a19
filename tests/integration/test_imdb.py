"""On the IMDB reviews the default model is scikit-learn's pipeline, review by review; nb-logistic is better.

IMDB_DIR names the folder with aclImdb_train.tar.gz and aclImdb_dev.tar.gz; without it, it is looked for beside
the repository.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.names import CLASSES
from datasets import DataError, load_corpus
from records.labels import Label
from sentiment.artifact import Artifact, scorer_of
from sentiment.calibrating import calibrated
from sentiment.calibration import probability
from sentiment.counts import count_texts
from sentiment.drift.expected import expected_accuracy
from sentiment.evaluation import evaluate
from sentiment.features import SEQUENCES
from sentiment.model import Model
from sentiment.packing import pack, unpack
from sentiment.scorer import Scorer
from sentiment.table import Table
from sentiment.text import Corpus
from sentiment.trainers.multinomial_nb import pipeline, train
from sentiment.training import train_artifact
from tests.lines import Line
from tests.models import ABOUT, equal

IMDB_DIR = Path(os.environ.get("IMDB_DIR") or Path(__file__).parents[2].parent / "shared" / "imdb")


def archive(name: str) -> Corpus:
    path = IMDB_DIR / name
    if not path.exists():
        pytest.skip(f"{path} is not there: set IMDB_DIR to the folder of the IMDB archives")
    return load_corpus(str(path))


@dataclass(frozen=True)
class Trained:
    """The project's model, and on the development archive scikit-learn's labels and probabilities of positive."""

    model: Model
    dev: Corpus
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@pytest.fixture(scope="module")
def trained() -> Trained:
    corpus, dev = archive("aclImdb_train.tar.gz"), archive("aclImdb_dev.tar.gz")
    reference = pipeline().fit(corpus.texts, corpus.labels)
    # The pipeline's own two steps, so that 12,500 reviews are counted once.
    counts = reference[0].transform(dev.texts)
    return Trained(
        train(corpus.texts, corpus.labels), dev, reference[1].predict(counts), reference[1].predict_proba(counts)[:, 1]
    )


def test_the_development_archive_is_whole(trained: Trained) -> None:
    assert len(trained.dev.texts) == 12_500
    assert set(trained.dev.labels) == {0, 1}


def test_every_label_and_probability_is_scikit_learns(trained: Trained) -> None:
    scorer = Scorer(Table.from_bytes(*trained.model.table().to_bytes()).look_up, trained.model.bias())
    answers = [scorer.score(text) for text in trained.dev.texts]
    assert [answer.prediction for answer in answers] == [CLASSES[label] for label in trained.labels]
    differences = np.abs(np.array([probability(answer.log_odds) for answer in answers]) - trained.probabilities)
    assert differences.max() <= 1e-9


def test_counted_reviews_get_the_same_labels_and_the_accuracy_that_is_known(trained: Trained) -> None:
    log_odds = count_texts(trained.dev.texts).log_odds(trained.model.scorer())
    assert np.array_equal(log_odds > 0, trained.labels == 1)
    result = evaluate(log_odds, trained.dev.labels)
    assert result.accuracy >= 0.815
    assert result.accuracy == np.mean(trained.labels == trained.dev.labels)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return train_artifact(archive("aclImdb_train.tar.gz"), holdout_share=0.1)


def test_with_a_tenth_held_out_a_probability_says_how_often_it_is_right(trained: Trained, artifact: Artifact) -> None:
    scorer, counted = scorer_of(artifact.manifest, artifact.parts), count_texts(trained.dev.texts)
    log_odds = counted.log_odds(scorer)
    raw = evaluate(log_odds, trained.dev.labels)
    found = evaluate(
        calibrated(log_odds, counted.known_words(scorer), artifact.manifest.calibration), trained.dev.labels
    )
    assert found.accuracy == raw.accuracy
    assert (raw.log_loss, raw.calibration_error) > (1.5, 0.15)
    assert found.log_loss <= 0.43
    assert found.calibration_error <= 0.08


def test_the_calibration_does_no_harm_to_texts_far_shorter_than_those_it_was_fitted_on(artifact: Artifact) -> None:
    try:
        corpus = load_corpus("starter")
    except DataError as error:
        pytest.skip(str(error))
    scorer, counted = scorer_of(artifact.manifest, artifact.parts), count_texts(corpus.texts)
    log_odds, words = counted.log_odds(scorer), counted.known_words(scorer)
    short = words <= 5
    labels = [label for label, chosen in zip(corpus.labels, short, strict=True) if chosen]
    raw = evaluate(log_odds[short], labels)
    found = evaluate(calibrated(log_odds[short], words[short], artifact.manifest.calibration), labels)
    sys.stdout.write(f"{len(labels)} texts: {raw.log_loss:.3f} {raw.calibration_error:.3f}, calibrated ")
    sys.stdout.write(f"{found.log_loss:.3f} {found.calibration_error:.3f}\n")
    assert len(labels) > 500
    assert found.log_loss < raw.log_loss + 0.01
    assert found.calibration_error < raw.calibration_error + 0.01


def test_the_model_survives_as_bytes(trained: Trained) -> None:
    artifact = pack(trained.model, ABOUT)
    assert equal(unpack(artifact), trained.model)
    assert len(artifact.parts["model.npz"]) < 2_000_000


@pytest.fixture(scope="module")
def logistic() -> Artifact:
    return train_artifact(archive("aclImdb_train.tar.gz"), holdout_share=0.1, trainer="nb-logistic")


def test_nb_logistic_is_right_in_91_percent_and_its_probabilities_mean_something(logistic: Artifact) -> None:
    dev = archive("aclImdb_dev.tar.gz")
    scorer, counted = scorer_of(logistic.manifest, logistic.parts), count_texts(dev.texts, SEQUENCES)
    log_odds, words = counted.log_odds(scorer), counted.known_words(scorer)
    result = evaluate(calibrated(log_odds, words, scorer.calibration), dev.labels)
    assert result.accuracy >= 0.91
    assert result.log_loss <= 0.235
    assert result.calibration_error <= 0.025
    # All sequences of a review at once, and each by itself.
    assert [scorer.log_odds(text) for text in dev.texts[:1_000]] == pytest.approx(log_odds[:1_000], rel=0, abs=1e-9)


@pytest.mark.parametrize("model", ["artifact", "logistic"])
def test_of_most_windows_the_accuracy_lies_where_it_is_expected_without_labels(
    model: str, request: pytest.FixtureRequest
) -> None:
    artifact, dev = request.getfixturevalue(model), archive("aclImdb_dev.tar.gz")
    scorer = scorer_of(artifact.manifest, artifact.parts)
    probabilities = np.array([scorer.probability(text) for text in dev.texts])
    right = (probabilities > 0.5) == (np.array(dev.labels) == 1)
    windows = np.random.default_rng(1).permutation(len(right)).reshape(25, 500)
    within, behind = 0, []
    for window in windows:
        expected, low, high = expected_accuracy(probabilities[window].tolist())
        within += low <= right[window].mean() <= high
        behind.append(abs(expected - right[window].mean()))
    sys.stdout.write(f"{artifact.manifest.algorithm}: {within} of 25, {np.mean(behind):.3f} on average\n")
    assert within >= 20
    assert np.mean(behind) <= 0.025


@pytest.mark.parametrize("seed", range(3))
def test_two_thousand_honest_labels_of_reviews_are_accepted_by_a_model_of_sentences(seed: int) -> None:
    """Texts of another kind and length than the first ones: what the gate must not take for harm."""
    dev = archive("aclImdb_dev.tar.gz")
    line = Line.of(train_artifact(load_corpus("starter"), holdout_share=0.1))
    chosen = np.random.default_rng(seed).permutation(len(dev.texts))[:2_000]
    line.send([Label(dev.texts[place], dev.labels[place], "ann") for place in chosen])
    found, left_out = line.run()
    assert found.verdict.promote, found.verdict.reason
    assert left_out == []
    assert line.most_behind_points <= 1.5
    rest = np.setdiff1d(np.arange(len(dev.texts)), chosen)[:2_000]
    scorer = line.champion.model.scorer()
    right = np.mean([(scorer.log_odds(dev.texts[place]) > 0) == dev.labels[place] for place in rest])
    assert right > 0.77, "of reviews it had not seen; 69 % before"
