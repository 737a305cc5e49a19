"""The gate: what is refused, what is let through, and on which figures."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment import gate
from sentiment.counts import count_texts
from sentiment.gate import Answers
from sentiment.trainers.multinomial_nb import train

NONE = Answers(np.zeros(0, dtype=np.intp), np.zeros((2, 0), dtype=np.bool_))


def answers(label: int, both: int = 0, only_champion: int = 0, only_challenger: int = 0, neither: int = 0) -> Answers:
    """So many texts of one class that both models get right, only one, or neither."""
    champion = [True] * (both + only_champion) + [False] * (only_challenger + neither)
    challenger = [True] * both + [False] * only_champion + [True] * only_challenger + [False] * neither
    return Answers(np.full(len(champion), label, dtype=np.intp), np.array([champion, challenger], dtype=np.bool_))


def test_an_equal_challenger_is_let_through() -> None:
    verdict = gate.decide(answers(0, both=100) + answers(1, both=100), NONE)
    assert verdict.promote
    assert (
        verdict.reason
        == "not worse beyond chance, overall or in a class (holdout 100.0% to 100.0%, recent labels 0.0% to 0.0%)"
    )


def test_a_challenger_that_is_worse_on_the_holdout_is_refused_whatever_the_new_labels_say() -> None:
    holdout = answers(0, both=400, only_champion=40) + answers(1, both=400, only_champion=40)
    recent = answers(0, only_challenger=1000) + answers(1, only_challenger=1000)
    verdict = gate.decide(holdout, recent)
    assert not verdict.promote
    assert verdict.reason.startswith("refused: worse on the holdout")
    assert not verdict.tests["all"].worse


def test_what_chance_explains_is_not_held_against_a_challenger() -> None:
    verdict = gate.decide(answers(0, both=80, only_champion=3) + answers(1, both=80, only_champion=2), NONE)
    assert verdict.promote
    assert verdict.tests["holdout"].challenger < verdict.tests["holdout"].champion


def test_significant_but_tiny_is_not_worse() -> None:
    holdout = answers(0, both=5_000, only_champion=30) + answers(1, both=5_000, only_champion=30)
    test = gate.decide(holdout, NONE).tests["holdout"]
    assert test.p_value < 1e-6
    assert not test.worse


def test_a_class_that_becomes_weaker_than_the_weaker_one_was_is_refused() -> None:
    # Positives gain what negatives lose, so that overall nothing is worse.
    holdout = answers(0, both=700, only_champion=150, neither=150) + answers(1, both=850, only_challenger=150)
    verdict = gate.decide(holdout, NONE)
    assert not verdict.promote
    assert verdict.reason.startswith("refused: worse on negative texts")


def test_a_class_may_lose_what_the_champion_had_by_leaning_to_it() -> None:
    holdout = answers(0, both=850, only_champion=100, neither=50) + answers(
        1, both=450, only_challenger=350, neither=200
    )
    verdict = gate.decide(holdout, NONE)
    assert verdict.tests["negative"].worse
    assert verdict.promote


@pytest.mark.parametrize(("right", "promote"), [(26, False), (45, True)])
def test_labels_that_nobody_can_learn_are_refused(right: int, promote: bool) -> None:
    recent = answers(0, both=right // 2, neither=25 - right // 2) + answers(
        1, both=right - right // 2, neither=25 - right + right // 2
    )
    verdict = gate.decide(answers(0, both=100) + answers(1, both=100), recent)
    assert verdict.promote is promote
    assert promote or "of 50 that it had not seen, the challenger predicts 26, no better than a coin" in verdict.reason


def test_a_few_labels_are_too_few_to_be_called_noise() -> None:
    recent = answers(0, neither=gate.LEAST_RECENT - 1)
    assert gate.decide(answers(0, both=100) + answers(1, both=100), recent).promote


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_p_value_is_mcnemars_exact_one(only_champion: int, only_challenger: int) -> None:
    holdout = answers(0, 5, only_champion, only_challenger) + answers(1, 5)
    n = only_champion + only_challenger
    exact = sum(comb(n, k) for k in range(only_champion, n + 1)) / 2**n
    corrected = gate.decide(holdout, NONE).tests
    # The same texts in three of the four tests, so the smallest of them is multiplied by four.
    assert min(test.p_value for test in corrected.values()) == pytest.approx(min(1, 4 * exact), rel=1e-9)


def test_recent_labels_are_answered_by_models_that_have_not_seen_them() -> None:
    champion = train(["good film", "bad film"], [1, 0])
    texts = [f"unseen{number}" for number in range(10)]
    labels = np.array([1] * 10)
    recent = gate.on_recent(champion, count_texts(texts), labels, weight=1)
    # A model that had learned these words would get each right; the class prior leans to positive for all.
    alone = gate.right(champion.added(count_texts(texts[1:]), [1] * 9), count_texts(texts[:1]), labels[:1])
    assert recent.right[1, 0] == alone[0]
    memorised = train(["good film", "bad film", "odd"], [1, 0, 0])
    noise = np.array([0, 1] * 5)
    repeated = gate.on_recent(memorised, count_texts([f"odd{n}" for n in range(10)]), noise, weight=1)
    assert repeated.right[1].mean() <= 0.5


def test_fewer_recent_labels_than_folds_are_answered_too() -> None:
    champion = train(["good film", "bad film"], [1, 0])
    recent = gate.on_recent(champion, count_texts(["good", "bad"]), np.array([1, 0]), weight=1)
    assert recent.right[0].tolist() == [True, True]
    assert len(recent.right[1]) == 2
