"""Probabilities that say how often a prediction is right, and leave every label as it was."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.codec import Malformed, from_document
from contracts.manifest import Calibration
from contracts.names import CLASSES
from sentiment.calibrating import calibrate, calibrated, fit
from sentiment.calibration import NOT_CALIBRATED, probability
from sentiment.counts import count_texts
from sentiment.evaluation import evaluate
from sentiment.scorer import Scorer, Weights
from tests.unit.texts import TEXTS

Floats = NDArray[np.float64]
CALIBRATIONS = st.builds(Calibration, st.floats(0.01, 1000), st.floats(0, 1))


def drawn(temperature: float, power: float, *, texts: int = 4_000) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Log-odds, numbers of words and labels of texts whose true log-odds are those after this calibration."""
    rng = np.random.default_rng(7)
    words = rng.integers(1, 500, texts).astype(np.float64)
    true = rng.normal(0, 2, texts)
    labels = (rng.random(texts) < 1 / (1 + np.exp(-true))).astype(np.intp)
    return true * temperature * words**power, words, labels


@pytest.mark.parametrize(
    ("temperature", "power"), [(1.0, 0.0), (0.5, 0.0), (10.0, 0.0), (1.5, 0.5), (3.0, 0.25), (1.0, 1.0), (0.2, 0.7)]
)
def test_what_made_the_probabilities_wrong_is_found(temperature: float, power: float) -> None:
    found = fit(*drawn(temperature, power))
    assert found.power == pytest.approx(power, abs=0.1)
    long_text = 250
    assert found.temperature * long_text**found.power == pytest.approx(temperature * long_text**power, rel=0.1)


def test_a_power_that_explains_nothing_is_not_taken() -> None:
    assert [fit(*drawn(temperature, 0.0)).power for temperature in (0.3, 1.0, 4.0, 20.0)] == [0.0] * 4


@settings(max_examples=200, deadline=None)
@given(CALIBRATIONS, TEXTS, st.floats(-3, 3))
def test_a_calibration_changes_no_label_and_no_log_odds(calibration: Calibration, text: str, bias: float) -> None:
    look_up = Weights(bad=-2.0, film=0.25, good=1.5).__getitem__
    plain, scored = Scorer(look_up, bias).score(text), Scorer(look_up, bias, calibration).score(text)
    assert (scored.prediction, scored.log_odds) == (plain.prediction, plain.log_odds)
    assert 0 <= scored.probability <= 1
    assert scored.prediction == CLASSES[scored.probability > 0.5] or abs(scored.log_odds) < 1e-9


@settings(max_examples=100, deadline=None)
@given(CALIBRATIONS, st.lists(TEXTS, max_size=8))
def test_counted_texts_get_the_probabilities_that_are_served(calibration: Calibration, texts: list[str]) -> None:
    scorer = Scorer(Weights(bad=-2.0, film=0.25, good=1.5).__getitem__, 0.1, calibration)
    counted = count_texts(texts)
    log_odds = calibrated(counted.log_odds(scorer), counted.known_words(scorer), calibration)
    assert [probability(found) for found in log_odds] == pytest.approx([*map(scorer.probability, texts)], abs=1e-9)


def test_words_that_the_model_does_not_know_make_no_text_less_sure() -> None:
    scorer = Scorer(Weights(good=1.5).__getitem__, 0.0, Calibration(1.0, 0.5))
    assert scorer.score("good zyx qwv é x") == scorer.score("good")
    assert scorer.probability("good good") == pytest.approx(probability(3 / math.sqrt(2)))


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_a_few_texts_that_are_all_right_make_nobody_certain(count: int) -> None:
    labels = np.arange(count) % 2
    found = fit(np.where(labels, 5.0, -5.0), np.full(count, 3.0), labels)
    assert probability(5.0, 3, found) < (count + 1.5) / (count + 2)


def test_a_model_that_is_mostly_wrong_is_sure_of_nothing() -> None:
    log_odds, words, labels = drawn(1.0, 0.0)
    found = fit(log_odds, words, 1 - labels)
    assert abs(probability(3.0, 1, found) - 0.5) < 0.01


@pytest.mark.parametrize("log_odds", [[0.0] * 4, [1e12, -1e12, 1e12, -1e12], [1e-300] * 4])
def test_any_log_odds_have_a_calibration_that_a_manifest_can_hold(log_odds: list[float]) -> None:
    found = fit(np.array(log_odds), np.array([0.0, 1.0, 10.0, 50_000.0]), [1, 0, 0, 1])
    assert from_document({"temperature": found.temperature, "power": found.power}, Calibration) == found


def test_without_texts_nothing_is_changed() -> None:
    assert fit(np.zeros(0), np.zeros(0), []) == NOT_CALIBRATED


@pytest.mark.parametrize(
    "document", [{"temperature": 0}, {"temperature": -1}, {"temperature": 1e9}, {"power": -0.1}, {"power": 2}]
)
def test_a_manifest_with_another_calibration_is_refused(document: dict[str, float]) -> None:
    with pytest.raises(Malformed):
        from_document(document, Calibration)


def test_figures_are_of_probabilities_that_the_other_half_of_the_texts_has_calibrated() -> None:
    """Labels that are noise in one half and plain in the other: each half is judged by what it did not teach."""
    texts = ["good", "bad"] * 40
    labels = [1, 1, 0, 0] * 20  # of the even ones every second `good` is positive, of the odd ones every second `bad`
    scorer = Scorer(Weights(good=4.0, bad=-4.0).__getitem__, 0.0)
    found = calibrate(count_texts(texts), scorer, labels)
    assert found.metrics.texts == 80
    assert found.metrics.accuracy == 0.5
    assert found.metrics.log_loss == pytest.approx(math.log(2), abs=0.01)
    assert evaluate(count_texts(texts).log_odds(scorer), labels).log_loss > 2


def test_each_half_is_judged_by_a_fit_that_has_not_seen_it() -> None:
    """The even texts are all right, the odd ones all wrong: fitted to itself, each half would have the smaller loss."""
    texts, labels = ["good", "bad"] * 40, [1, 1] * 40
    scorer = Scorer(Weights(good=4.0, bad=-4.0).__getitem__, 0.0)
    log_odds = np.array([4.0, -4.0] * 40)
    found = calibrate(count_texts(texts), scorer, labels)
    alone = [fit(log_odds[half::2], np.ones(40), labels[half::2]) for half in (0, 1)]
    expected = [probability(4.0, 1, alone[1]), probability(-4.0, 1, alone[0])]
    assert found.metrics.log_loss == pytest.approx(-np.log(expected).mean())
