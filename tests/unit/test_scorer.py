"""Serving answers as scikit-learn's pipeline does.

One thing can't be equal: where both classes are equally likely but for the rounding of a sum, the label
depends on the order of additions. So labels are compared where the log-odds are beyond 1e-9, probabilities always.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.counts import count_documents
from sentiment.scorer import LABELS, Scorer, probability
from sentiment.training import pipeline, train
from tests.unit.texts import CORPORA, TEXTS

TIE = 1e-9


def scorer(bias: float = 0.0) -> Scorer:
    return Scorer.from_pairs(["bad", "film", "good"], [-2.0, 0.0, 1.5], bias)


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=8))
def test_labels_and_probabilities_are_scikit_learns(corpus: list[tuple[str, int]], texts: list[str]) -> None:
    trained_on, labels = zip(*corpus, strict=True)
    reference = pipeline().fit(trained_on, labels)
    served = train(trained_on, labels).scorer()
    asked = [*texts, *trained_on]
    expected = zip(reference.predict(asked), reference.predict_proba(asked)[:, 1], strict=True)
    for text, (label, positive) in zip(asked, expected, strict=True):
        found_label, found = served.predict(text)
        assert found == pytest.approx(positive, rel=0, abs=1e-9)
        assert found_label == LABELS[label] or abs(served.log_odds(text)) < TIE


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.lists(TEXTS, max_size=8))
def test_counted_texts_score_as_texts(corpus: list[tuple[str, int]], texts: list[str]) -> None:
    served = train(*zip(*corpus, strict=True)).scorer()
    assert count_documents(texts).log_odds(served) == pytest.approx([served.log_odds(text) for text in texts], abs=1e-9)


def test_log_odds_add_up_over_words_and_repeats() -> None:
    assert scorer().log_odds("good good bad film") == 1.5 + 1.5 - 2.0
    assert scorer(bias=0.25).log_odds("Good!") == 1.75


@pytest.mark.parametrize("text", ["", "a", "unknown words alone", "🙂", "!?"])
def test_a_text_without_known_words_gets_the_share_of_the_classes(text: str) -> None:
    assert scorer(bias=math.log(3)).probability(text) == pytest.approx(0.75)


def test_a_tie_is_negative_as_in_scikit_learn() -> None:
    corpus = ["good film", "bad film"], [1, 0]
    assert pipeline().fit(*corpus).predict(["film"]) == [0]
    assert train(*corpus).scorer().predict("film") == ("negative", 0.5)


@settings(deadline=None)
@given(TEXTS)
def test_the_label_says_which_side_of_a_half_the_probability_is(text: str) -> None:
    label, positive = scorer(bias=0.1).predict(text)
    assert label == LABELS[positive > 0.5]
    assert positive == scorer(bias=0.1).probability(text)


@pytest.mark.parametrize("log_odds", [-1e308, -1000.0, -710.0, -1.0, 0.0, 1.0, 710.0, 1000.0, 1e308])
def test_a_probability_never_overflows(log_odds: float) -> None:
    assert 0 <= probability(log_odds) <= 1
    assert probability(log_odds) + probability(-log_odds) == pytest.approx(1)


def test_a_text_of_a_hundred_thousand_characters_is_certain_and_finite() -> None:
    assert scorer().predict("good " * 20_000) == ("positive", 1.0)
    assert scorer().predict("bad " * 25_000) == ("negative", 0.0)


def test_words_and_log_odds_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Scorer.from_pairs(["good", "bad"], [1.0], 0.0)


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    table = {f"word{number}": float(number) for number in range(30_000)}
    served = Scorer.from_pairs(table, table.values(), 0.0)
    for _ in range(2):
        assert [served.log_odds(word) for word in table] == list(table.values())
        assert [served.log_odds(f"un{word}") for word in table] == [0.0] * len(table)
