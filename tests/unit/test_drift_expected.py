"""What probabilities lead to expect of answers whose labels nobody knows."""

import numpy as np
import pytest

from sentiment.drift.expected import contradicts, expected_accuracy

SAMPLES, TEXTS = 1_000, 400


def drawn(seed: int, temperature: float = 1.0) -> tuple[list[float], int]:
    """Probabilities, and how many answers are wrong where they are calibrated with a temperature of 1."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(0, 2, TEXTS)
    positive = random.random(TEXTS) < 1 / (1 + np.exp(-log_odds))
    return (1 / (1 + np.exp(-log_odds / temperature))).tolist(), int((positive != (log_odds > 0)).sum())


def test_the_accuracy_lies_in_the_interval_nineteen_times_of_twenty() -> None:
    held = 0
    for seed in range(SAMPLES):
        probabilities, errors = drawn(seed)
        _, low, high = expected_accuracy(probabilities)
        held += low <= 1 - errors / TEXTS <= high
    assert 0.93 < held / SAMPLES < 0.97


def test_of_harder_texts_less_is_expected() -> None:
    assert expected_accuracy([0.9, 0.1])[0] == pytest.approx(0.9)
    assert expected_accuracy([0.6, 0.4, 0.6])[0] == pytest.approx(0.6)
    assert expected_accuracy([1.0, 0.0]) == (1.0, 1.0, 1.0)
    assert expected_accuracy([0.5])[1:] == (0.0, 1.0)


def test_labels_contradict_what_is_calibrated_once_in_a_hundred_times() -> None:
    assert sum(contradicts(*drawn(seed)) for seed in range(SAMPLES)) / SAMPLES < 0.02


def test_labels_contradict_what_is_far_too_sure_or_too_unsure() -> None:
    for temperature in (0.3, 3.0):
        assert sum(contradicts(*drawn(seed, temperature)) for seed in range(100)) > 90


def test_few_labels_contradict_nothing() -> None:
    assert contradicts([0.99] * 29, 29) is False
    assert contradicts([0.99] * 30, 30) is True
