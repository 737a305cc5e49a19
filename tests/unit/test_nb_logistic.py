"""The trainer nb-logistic is scikit-learn's logistic regression, and depends on nothing but its texts."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from contracts.manifest import read_manifest
from sentiment.artifact import HOLDOUT_PART, MODEL_PART, SEQUENCES_PART, Artifact, ArtifactError, part_of, scorer_of
from sentiment.counts import TextCounts, count_texts
from sentiment.drift.check import check
from sentiment.drift.samples import Reference, Window
from sentiment.features import sequence_words, sequences
from sentiment.gate import right
from sentiment.packing import Holdout, load_arrays, pack, save_arrays, unpack
from sentiment.text import Corpus
from sentiment.trainers.nb_logistic import NbLogistic, frequent_terms, train
from sentiment.training import train_artifact
from tests.models import ABOUT, equal
from tests.unit.texts import ASCII_TEXTS, LABELLED, TEXTS

Examples = list[tuple[str, int]]
# Each class has a word in three texts, which is the least.
CORPORA = st.lists(LABELLED, max_size=9).map(lambda more: [("good film", 1), ("bad film", 0)] * 3 + more)
MORE = st.lists(LABELLED, max_size=6)
WEIGHTS = st.sampled_from((0.5, 1.0, 3.0))


def trained(examples: Examples) -> NbLogistic:
    return train(*zip(*examples, strict=True))


def updated(model: NbLogistic, examples: Examples, weight: float = 1.0) -> NbLogistic:
    texts = count_texts([text for text, _ in examples], model.features)
    return model.added(texts, [label for _, label in examples], weight=weight)


MODEL = trained([("a good film !", 1), ("not a bad film", 1), ("a bad film", 0), ("not a good film", 0)] * 3)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("Good", ["good"]),
        ("A good film!", ["a", "good", "film", "!", "a good", "good film", "film !", "a good film", "good film !"]),
        ("good<br />good", ["good", "good good"]),
        ("don't ...?", ["don", "t", "?", "don t", "t ?", "don t ?"]),
        ("Café\u00a0中文", ["café", "中文", "café 中文"]),
    ],
)
def test_the_terms_of_a_text_are_its_different_sequences_of_one_to_three_words(text: str, terms: list[str]) -> None:
    assert sequences(text) == terms


@settings(max_examples=300, deadline=None)
@given(ASCII_TEXTS | TEXTS)
def test_words_are_what_the_regular_expression_finds(text: str) -> None:
    assert sequence_words(text) == re.findall(r"\w+|[!?]", text.lower().replace("<br />", " "))


@settings(max_examples=40, deadline=None)
@given(CORPORA, st.lists(TEXTS, max_size=4))
def test_the_table_scores_as_scikit_learn_does(corpus: Examples, others: list[str]) -> None:
    texts, labels = [text for text, _ in corpus], np.array([label for _, label in corpus])
    vectorizer = CountVectorizer(analyzer=sequences, binary=True, min_df=3)
    presence = vectorizer.fit_transform(texts)
    positive, negative = (presence[labels == label].sum(axis=0) + 1 for label in (1, 0))
    ratios = np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))
    regression = LogisticRegression(C=0.1, solver="liblinear").fit(presence.multiply(ratios), labels)
    asked = [*texts, *others, " ".join([*texts, *others] * 3)]
    expected = regression.decision_function(vectorizer.transform(asked).multiply(ratios))
    model = trained(corpus)
    packed = pack(model, ABOUT)
    without = {name: packed.parts[name] for name in packed.parts.keys() - {SEQUENCES_PART}}  # of an earlier release
    for scorer in (scorer_of(packed.manifest, packed.parts), scorer_of(packed.manifest, without), model.scorer()):
        assert [scorer.log_odds(text) for text in asked] == pytest.approx(expected, rel=0, abs=1e-9)
        explained = [scorer.bias + sum(each.log_odds for each in scorer.explain(text)) for text in asked]
        assert explained == pytest.approx(expected, rel=0, abs=1e-9)
    counted = count_texts(asked, model.features)
    assert counted.log_odds(model.scorer()) == pytest.approx(expected, rel=0, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(CORPORA)
def test_the_terms_are_all_that_three_texts_have(corpus: Examples) -> None:
    texts = [text for text, _ in corpus]
    expected = CountVectorizer(analyzer=sequences, binary=True, min_df=3).fit(texts).vocabulary_
    assert frequent_terms(texts) == expected.keys()


@settings(max_examples=40, deadline=None)
@given(CORPORA, MORE, WEIGHTS)
def test_taking_back_gives_the_model_that_never_had_the_texts(corpus: Examples, more: Examples, weight: float) -> None:
    model = trained(corpus)
    assert equal(updated(updated(model, more, weight), more, -weight), model)


@settings(max_examples=40, deadline=None)
@given(CORPORA, MORE, MORE)
def test_labels_in_two_runs_give_the_model_of_one(corpus: Examples, first: Examples, second: Examples) -> None:
    model = trained(corpus)
    assert equal(updated(updated(model, first), second), updated(model, first + second))


@settings(max_examples=40, deadline=None)
@given(CORPORA, MORE, MORE)
def test_taking_back_some_leaves_the_model_of_the_others(corpus: Examples, some: Examples, others: Examples) -> None:
    model = trained(corpus)
    left, wanted = updated(updated(model, some + others), some, -1.0), updated(model, others)
    assert left.vocabulary == wanted.vocabulary
    # Where a text is among both, the others' may stand in another order, in which sums are rounded otherwise.
    assert left.log_odds() == pytest.approx(wanted.log_odds(), abs=1e-6)


def test_a_label_that_counts_three_times_is_one_that_came_three_times() -> None:
    once = updated(MODEL, [("a dull film", 0)], 3.0)
    thrice = updated(MODEL, [("a dull film", 0)] * 3)
    assert once.vocabulary == thrice.vocabulary
    assert once.log_odds() == pytest.approx(thrice.log_odds(), abs=1e-3)  # as near as the solver comes
    assert once.class_texts.tolist() == thrice.class_texts.tolist() == [9.0, 6.0]


def test_labels_bring_new_words_and_no_new_sequences() -> None:
    model = updated(MODEL, [("a splendid film", 1)] * 5)
    assert set(model.vocabulary) - set(MODEL.vocabulary) == {"splendid"}
    assert model.scorer().log_odds("splendid") > model.bias()


@pytest.mark.parametrize(
    ("text", "label", "weight"), [("unknown", 1, -1.0), ("a good film !", 0, -1.0), ("a good film !", 1, -2.0)]
)
def test_taking_back_what_was_not_learned_is_refused(text: str, label: int, weight: float) -> None:
    with pytest.raises(ValueError, match="taken back"):
        updated(MODEL, [(text, label)], weight)


def test_taking_back_the_last_text_of_a_class_is_refused() -> None:
    model = trained([("good film", 1)] * 3 + [("bad film", 0)])
    with pytest.raises(ValueError, match="both classes"):
        updated(model, [("film", 0)], -1.0)


@pytest.mark.parametrize(
    ("labels", "message"), [([1], "2 texts came with 1 labels"), ([0, 2], "0 or 1"), ([0, -1], "0 or 1")]
)
def test_labels_that_do_not_fit_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODEL.added(count_texts(["good", "bad"], MODEL.features), labels)


def test_training_needs_texts_of_both_labels_that_can_be_read_again_and_a_word_in_three_of_them() -> None:
    with pytest.raises(ValueError, match="both labels"):
        train(["good"] * 3, [1] * 3)
    with pytest.raises(ValueError, match="only once"):
        train(iter(["good", "good", "good"]), [1, 1, 0])
    with pytest.raises(ValueError, match="in 3 texts or more"):
        train(["good", "good", "bad"], [1, 1, 0])


# --- without some texts, nearly ---


REVIEWS = [(f"a good film , number {n} !", 1) for n in range(40)] + [(f"a bad film , number {n}", 0) for n in range(40)]


def counted_of(model: NbLogistic, examples: Examples) -> tuple[TextCounts, list[int]]:
    return count_texts([text for text, _ in examples], model.features), [label for _, label in examples]


@settings(max_examples=30, deadline=None)
@given(CORPORA, MORE, MORE, WEIGHTS)
def test_what_it_would_be_without_texts_is_nearly_what_it_is_without_them(
    corpus: Examples, some: Examples, others: Examples, weight: float
) -> None:
    model = updated(trained(corpus), some + others, weight)
    nearly = model.without(*counted_of(model, some), weight=weight).without(*counted_of(model, others), weight=weight)
    texts, _ = counted_of(model, corpus + some + others)
    expected = texts.log_odds(updated(model, some + others, -weight).scorer())
    assert texts.log_odds(nearly.scorer()) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("weight", [1.0, 50.0, 20_000.0])
def test_it_is_so_where_nearly_all_goes_and_the_rest_says_the_contrary(weight: float) -> None:
    turned = [(text, 1 - label) for text, label in REVIEWS] * 3
    model = updated(trained(REVIEWS), turned, weight)
    reviews, labels = counted_of(model, REVIEWS)
    assert not right(model.scorer(), reviews, np.array(labels)).any()
    nearly = model.without(*counted_of(model, turned), weight=weight)
    expected = reviews.log_odds(trained(REVIEWS).scorer())
    assert reviews.log_odds(nearly.scorer()) == pytest.approx(expected, abs=1e-2)


def test_it_is_asked_only_about_what_it_has_learned() -> None:
    with pytest.raises(ValueError, match="not all learned"):
        MODEL.without(*counted_of(MODEL, [("unknown", 1)]))
    once = MODEL.without(*counted_of(MODEL, [("a good film !", 1)] * 3))
    with pytest.raises(ValueError, match="not all learned"):
        once.without(*counted_of(MODEL, [("a good film !", 1)]))


# --- as a version ---


def changed(**arrays: NDArray[Any] | None) -> Artifact:
    """MODEL as a version, with arrays replaced, or taken out for None, under a manifest that vouches for them."""
    packed = pack(MODEL, ABOUT)
    found: Mapping[str, Any] = {**load_arrays(packed.parts[MODEL_PART], MODEL_PART), **arrays}
    content = save_arrays(**{name: array for name, array in found.items() if array is not None})
    parts = {**packed.parts, MODEL_PART: content}
    named = {name: part_of(part) for name, part in parts.items()}
    return Artifact(msgspec.structs.replace(packed.manifest, parts=named), parts)


def test_it_comes_back_as_it_was_and_can_still_be_updated() -> None:
    packed = pack(updated(MODEL, [("a splendid film", 1)]), ABOUT)
    manifest = read_manifest(packed.manifest.to_bytes())
    assert (manifest.algorithm, manifest.features) == ("nb-logistic", "sequences")
    model = unpack(Artifact(manifest, packed.parts))
    assert isinstance(model, NbLogistic)
    assert equal(updated(model, [("a splendid film", 1)], -1.0), MODEL)


@pytest.mark.parametrize(
    "arrays",
    [
        {"columns": None},
        {"columns": np.zeros(3, dtype=np.int32)},
        {"columns": MODEL.examples.columns[::-1]},
        {"columns": MODEL.examples.columns + 1},
        {"columns": MODEL.examples.columns - 1},
        {"columns": MODEL.examples.columns.astype(np.float64)},
        {"ends": MODEL.examples.ends[:-1]},
        {"ends": MODEL.examples.ends + 1},
        {"ends": np.zeros((2, 2), dtype=np.int32)},
        {"ends": np.zeros(0, dtype=np.int32)},
        {"labels": MODEL.examples.labels + 1},
        {"labels": np.zeros_like(MODEL.examples.labels)},
        {"weights": MODEL.examples.weights - 1},
        {"weights": MODEL.examples.weights * np.nan},
        {"weights": MODEL.examples.weights[1:]},
        {"log_odds": np.zeros(1)},
        {"log_odds": MODEL.weights * np.inf},
        {"intercept": np.array(np.nan)},
        {"intercept": np.zeros(2)},
    ],
    ids=lambda arrays: next(iter(arrays)),
)
def test_arrays_that_make_no_model_are_refused(arrays: dict[str, NDArray[Any] | None]) -> None:
    with pytest.raises(ArtifactError, match=r"model\.npz does not hold a model"):
        unpack(changed(**arrays))


def test_a_trainer_that_this_release_has_not_is_named() -> None:
    packed = pack(MODEL, ABOUT)
    manifest = msgspec.structs.replace(packed.manifest, algorithm="oracle")
    with pytest.raises(ArtifactError, match="oracle"):
        unpack(replace(packed, manifest=manifest))


# --- beside the gate and drift ---


def test_a_version_has_a_holdout_that_gives_its_figures_and_a_reference_of_single_words() -> None:
    texts, labels = zip(*REVIEWS, strict=True)
    artifact = train_artifact(Corpus("tests", [*texts], [*labels]), holdout_share=0.25, trainer="nb-logistic")
    model, holdout = unpack(artifact), Holdout.from_bytes(artifact.parts[HOLDOUT_PART])
    assert artifact.manifest.metrics is not None
    assert (artifact.manifest.metrics.texts, artifact.manifest.metrics.accuracy) == (20, 1.0)
    assert (holdout.texts.log_odds(model.scorer()) > 0).tolist() == (holdout.labels == 1).tolist()
    reference = Reference.from_texts(texts, model, labels)
    assert not [word for word in reference.words if " " in word]
    assert reference.errors == 0
    assert set(reference.measures["length"].tolist()) == {5.0, 6.0}
    assert reference.measures["unknown_words"].max() == pytest.approx(1 / 5)


def test_drift_is_measured_under_it() -> None:
    texts, _ = zip(*REVIEWS, strict=True)
    reference = Reference.from_texts(texts * 3, MODEL)
    assert check(reference, Window.from_texts(texts * 3, MODEL, reference=reference)).status == "ok"
    others = [f"the parcel {number} came late" for number in range(240)]
    report = check(reference, Window.from_texts(others, MODEL, reference=reference))
    assert report.status == "drift"
    assert report.tests["unknown_words"].drift
    assert {"parcel", "film"} <= {word.word for word in report.words}
