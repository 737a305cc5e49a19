"""A version of the trainer nb-logistic in the running system: served, updated, taken back, refused where unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from contracts.codec import to_document
from functions.retrain.settings import Settings
from functions.retrain.trainer import Trainer
from model_store.errors import VersionRefused
from model_store.publishing import ModelStore
from model_store.serving import StoreReader, load_scorer
from records.labels import Label, Labels
from sentiment.artifact import Artifact, scorer_of
from sentiment.counts import count_texts
from sentiment.packing import unpack
from sentiment.text import Corpus
from sentiment.trainers.nb_logistic import NbLogistic
from sentiment.training import train_artifact
from tests.models import equal
from tests.running import running
from tests.system import promote, python_service

TEXTS = ["Not bad, but good!", "Not good, but bad?", "good", "nothing known", "", "Not bad, but good: film1! " * 5]


def corpus(count: int = 400) -> Corpus:
    """Texts of the same words in both classes: only their order tells them apart."""
    texts = [("not bad, but good", "not good, but bad")[n % 2] + f" film{n % 7}" for n in range(count)]
    return Corpus("test", texts, [1 - n % 2 for n in range(count)])


@pytest.fixture
def version(environment: Mapping[str, str]) -> Artifact:
    assert environment
    artifact = train_artifact(corpus(), holdout_share=0.25, trainer="nb-logistic")
    promote(artifact)
    return artifact


def test_predict_tells_texts_of_the_same_words_apart(
    version: Artifact, environment: dict[str, str], tmp_path: Path
) -> None:
    service = python_service("functions.predict", tmp_path, environment)
    url = f"http://127.0.0.1:{service.variables['PORT']}/"
    with running(service), urllib3.PoolManager() as pool:
        found: dict[str, Any] = pool.request("POST", url, json={"texts": TEXTS}).json()
        about: dict[str, Any] = pool.request("GET", url).json()
    score = scorer_of(version.manifest, version.parts).score
    assert found["predictions"] == [to_document(score(text)) for text in TEXTS]
    assert [each["prediction"] for each in found["predictions"][:2]] == ["positive", "negative"]
    assert (about["algorithm"], about["features"]) == ("nb-logistic", "sequences")
    assert about["trainer"].endswith("LogisticRegression")


def test_a_version_that_looks_at_what_this_release_does_not_know_is_refused(
    version: Artifact, store: ModelStore
) -> None:
    strange = Artifact(msgspec.structs.replace(version.manifest, features="pictures"), version.parts)
    name = store.publish(strange)
    with pytest.raises(VersionRefused, match="'pictures' in a text, which this release does not know") as refused:
        load_scorer(StoreReader().get, name)
    assert not refused.value.passing


def test_labels_are_learned_by_the_trainer_of_the_version_and_taken_back_from_it(
    version: Artifact, store: ModelStore, labels: Labels
) -> None:
    trainer = Trainer(store, labels, Settings())  # of TRAINER's default
    before = unpack(version)
    told = [Label(f"{('splendid', 'dreadful')[n % 2]} film{n % 7} {n}", 1 - n % 2, "test") for n in range(60)]
    labels.add(told)
    outcome = trainer.run(by="test")
    assert outcome.promoted, outcome.reason
    assert outcome.model is not None
    learned = store.load(outcome.model)
    model = unpack(learned)
    assert isinstance(model, NbLogistic)
    assert learned.manifest.trainer == "fitted again to the corpus and the labels"
    assert model.class_texts.sum() == before.class_texts.sum() + 60
    assert model.scorer().log_odds("splendid") > before.scorer().log_odds("splendid")
    taken = trainer.take_back(told[0].id, by="test")
    assert taken.model is not None
    left = unpack(store.load(taken.model))
    counted = count_texts([told[0].text], model.features)
    assert equal(left, model.added(counted, [told[0].label], weight=-1.0))


def test_the_first_model_is_of_the_trainer_that_is_set(
    store: ModelStore, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER", "nb-logistic")
    store.ensure_bucket()
    texts, truth = corpus(40).texts, corpus(40).labels
    labels.add([Label(f"{text} {number}", truth[number], "test") for number, text in enumerate(texts)])
    outcome = Trainer(store, labels, Settings()).run(by="test")
    assert outcome.model is not None, outcome.reason
    assert store.algorithm(outcome.model) == "nb-logistic"
