"""Serving answers as scikit-learn's pipeline does.

One thing can't be equal: where both classes are equally likely but for the rounding of a sum, the label
depends on the order of additions. So labels are compared where the log-odds are beyond 1e-9, probabilities always.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.names import CLASSES
from contracts.predict import Contribution, Score
from sentiment.calibration import probability
from sentiment.counts import count_texts
from sentiment.model import Model
from sentiment.scorer import Scorer, Weights
from sentiment.table import Table
from sentiment.trainers.multinomial_nb import pipeline, train
from tests.unit.texts import CORPORA, TEXTS

TIE = 1e-9


def scorer(bias: float = 0.0) -> Scorer:
    return Scorer(Weights(bad=-2.0, film=0.0, good=1.5).__getitem__, bias)


def as_served(model: Model) -> Scorer:
    """The scorer of a serving process: over the table, through its bytes."""
    return Scorer(Table.from_bytes(*model.table().to_bytes()).look_up, model.bias())


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=8))
def test_labels_and_probabilities_are_scikit_learns(corpus: list[tuple[str, int]], texts: list[str]) -> None:
    trained_on, labels = zip(*corpus, strict=True)
    reference = pipeline().fit(trained_on, labels)
    served = as_served(train(trained_on, labels))
    asked = [*texts, *trained_on]
    expected = zip(reference.predict(asked), reference.predict_proba(asked)[:, 1], strict=True)
    for text, (label, positive) in zip(asked, expected, strict=True):
        found = served.score(text)
        assert found.probability == pytest.approx(positive, rel=0, abs=1e-9)
        assert probability(found.log_odds) == found.probability, "nothing was held out to calibrate it on"
        assert found.prediction == CLASSES[label] or abs(served.log_odds(text)) < TIE


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.lists(TEXTS, max_size=8))
def test_counted_texts_score_as_texts(corpus: list[tuple[str, int]], texts: list[str]) -> None:
    model = train(*zip(*corpus, strict=True))
    served = model.scorer()
    assert [served.log_odds(text) for text in texts] == [as_served(model).log_odds(text) for text in texts]
    assert count_texts(texts).log_odds(served) == pytest.approx([served.log_odds(text) for text in texts], abs=1e-9)


def test_log_odds_add_up_over_words_and_repeats() -> None:
    assert scorer().log_odds("good good bad film") == 1.5 + 1.5 - 2.0
    assert scorer(bias=0.25).log_odds("Good!") == 1.75


@pytest.mark.parametrize("text", ["", "a", "unknown words alone", "🙂", "!?"])
def test_a_text_without_known_words_gets_the_share_of_the_classes(text: str) -> None:
    assert scorer(bias=math.log(3)).probability(text) == pytest.approx(0.75)


def test_a_tie_is_negative_as_in_scikit_learn() -> None:
    corpus = ["good film", "bad film"], [1, 0]
    assert pipeline().fit(*corpus).predict(["film"]) == [0]
    assert train(*corpus).scorer().score("film") == Score("negative", 0.5, 0.0)


@settings(deadline=None)
@given(TEXTS)
def test_the_label_says_which_side_of_a_half_the_probability_is(text: str) -> None:
    found = scorer(bias=0.1).score(text)
    assert found.prediction == CLASSES[found.probability > 0.5]
    assert found.probability == scorer(bias=0.1).probability(text)


# --- why ---


def together(words: Iterable[Contribution], bias: float) -> float:
    return math.fsum([bias, *(word.log_odds for word in words)])


@settings(max_examples=200, deadline=None)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=8), st.integers(1, 5_000))
def test_the_words_of_an_explanation_and_the_bias_add_up_to_the_log_odds(
    corpus: list[tuple[str, int]], texts: list[str], times: int
) -> None:
    served = as_served(train(*zip(*corpus, strict=True)))
    for text in (*texts, " ".join(texts * times)):
        found = served.explain(text)
        assert together(found, served.bias) == pytest.approx(served.score(text).log_odds, rel=0, abs=1e-9)
        assert len({each.word for each in found}) == len(found)
        assert [abs(each.log_odds) for each in found] == sorted((abs(each.log_odds) for each in found), reverse=True)


def test_a_word_that_occurs_twice_is_explained_once_with_all_it_adds_and_an_unknown_one_not_at_all() -> None:
    assert scorer(0.5).explain("Good! Bad film, good unknown fun") == [
        Contribution("good", 3.0),
        Contribution("bad", -2.0),
    ]
    assert scorer(0.5).explain("unknown") == []


def test_an_explanation_is_of_the_terms_that_are_scored() -> None:
    """As a model of sequences has them: each once, however often it occurs."""

    def pairs(text: str) -> list[str]:
        return sorted(set(map(" ".join, pairwise(text.split()))))

    found = Scorer(Weights({"not good": -2.0, "good film": 1.5}).__getitem__, 0.25, terms=pairs)
    text = "not good film not good"
    assert found.explain(text) == [Contribution("not good", -2.0), Contribution("good film", 1.5)]
    assert found.score(text).log_odds == -0.25


@pytest.mark.parametrize("log_odds", [-1e308, -1000.0, -710.0, -1.0, 0.0, 1.0, 710.0, 1000.0, 1e308])
def test_a_probability_never_overflows(log_odds: float) -> None:
    assert 0 <= probability(log_odds) <= 1
    assert probability(log_odds) + probability(-log_odds) == pytest.approx(1)


def test_a_text_of_a_hundred_thousand_characters_is_certain_and_finite() -> None:
    assert scorer().score("good " * 20_000) == Score("positive", 1.0, 30_000.0)
    assert scorer().score("bad " * 25_000) == Score("negative", 0.0, -50_000.0)
