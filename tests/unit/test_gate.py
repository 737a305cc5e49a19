"""The gate: what is refused, what is let through, and on which figures."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.manifest import Evaluation
from sentiment import gate
from sentiment.counts import count_texts
from sentiment.evaluation import evaluate
from sentiment.gate import Answers
from sentiment.trainers.multinomial_nb import train
from tests.models import labelled

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
    recent = labelled(count_texts([f"unseen{number}" for number in range(10)]), [1] * 10)
    found = gate.on_recent(champion.scorer(), recent.learned_by(champion), recent)
    # A model that had learned these words would get each right; the class prior leans to positive for all.
    others = recent.select(np.arange(10) % gate.FOLDS != 0)
    alone = gate.right(others.learned_by(champion).scorer(), recent.texts, recent.labels)
    assert found.right[1, 0] == alone[0]
    memorised = train(["good film", "bad film", "odd"], [1, 0, 0])
    noise = labelled(count_texts([f"odd{n}" for n in range(10)]), [0, 1] * 5)
    assert gate.on_recent(memorised.scorer(), noise.learned_by(memorised), noise).right[1].mean() <= 0.5


def test_fewer_recent_labels_than_folds_are_answered_too() -> None:
    champion = train(["good film", "bad film"], [1, 0])
    recent = labelled(count_texts(["good", "bad"]), [1, 0])
    found = gate.on_recent(champion.scorer(), recent.learned_by(champion), recent)
    assert found.right[0].tolist() == [True, True]
    assert len(found.right[1]) == 2


def figures(right: int, texts: int = 1_000) -> Evaluation:
    """Those of a model that gets so many of the texts right, half of each class."""
    truth = np.arange(texts) % 2
    return evaluate(np.where((np.arange(texts) < right) == (truth == 1), 1.0, -1.0), truth.tolist())


def test_losses_that_chance_explains_one_by_one_add_up_in_front_of_the_anchor() -> None:
    # Of 1,000 texts the champion has lost 14 already; three more are nothing to McNemar's test.
    holdout = answers(0, both=393, only_champion=1, neither=106) + answers(1, both=390, only_champion=2, neither=108)
    assert gate.decide(holdout, NONE).promote
    verdict = gate.decide(holdout, NONE, anchor=figures(800))
    assert not verdict.promote
    assert verdict.reason.startswith(
        "refused: worse on the holdout: 80.0% in the best version of its line, 78.3% now (holdout 78.6% to 78.3%"
    )
    assert verdict.tests["holdout"].worse


def test_what_was_lost_before_is_not_held_against_a_challenger_that_loses_nothing() -> None:
    holdout = answers(0, both=350, neither=150) + answers(1, both=350, neither=150)
    assert gate.decide(holdout, NONE, anchor=figures(800)).promote


def test_a_class_that_falls_far_behind_the_anchors_weaker_one_is_refused_though_the_other_gains() -> None:
    holdout = answers(0, both=340, only_champion=4, neither=156) + answers(1, both=450, only_challenger=3, neither=47)
    assert gate.decide(holdout, NONE).promote
    verdict = gate.decide(holdout, NONE, anchor=figures(790))
    assert not verdict.promote
    assert "worse on negative texts of the holdout: 79.0% of the weaker class" in verdict.reason


def test_few_labels_are_judged_together_with_those_that_were_accepted_before() -> None:
    holdout = answers(0, both=100) + answers(1, both=100)
    recent = answers(0, both=10, neither=10)
    assert gate.decide(holdout, recent).promote, "too few to be called noise"
    noise, signal = np.arange(80) % 2 == 0, np.arange(80) % 4 != 0
    assert gate.decide(holdout, recent, accepted=signal).promote
    verdict = gate.decide(holdout, recent, accepted=noise)
    assert not verdict.promote
    assert "of 100 (80 of them accepted before) that it had not seen, the challenger predicts 50" in verdict.reason


def test_many_labels_are_judged_by_themselves() -> None:
    holdout = answers(0, both=100) + answers(1, both=100)
    noise = answers(0, both=25, neither=25) + answers(1, both=25, neither=25)
    assert not gate.decide(holdout, noise, accepted=np.ones(200, dtype=np.bool_)).promote
    signal = answers(0, both=45, neither=5) + answers(1, both=45, neither=5)
    assert gate.decide(holdout, signal, accepted=np.zeros(200, dtype=np.bool_)).promote
