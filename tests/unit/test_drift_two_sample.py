"""The tests behind a check, held against SciPy's slower ones and against definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sentiment.drift.two_sample import cohens_h, expected_as_extreme, holm, kolmogorov_smirnov, share_tail


def ordered(values: list[float]) -> "np.typing.NDArray[np.float32]":
    return np.sort(np.array(values, dtype=np.float32))


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4))
def test_kolmogorov_smirnov_agrees_with_scipy(seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    first, second = ordered(random.normal(size=600).tolist()), ordered(random.normal(shift, size=200).tolist())
    distance, p_value = kolmogorov_smirnov(first, second)
    expected = stats.ks_2samp(first, second, method="asymp")
    assert distance == pytest.approx(expected.statistic, abs=1e-12)
    if 1e-6 < expected.pvalue < 0.1:
        assert p_value == pytest.approx(expected.pvalue, rel=0.05)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], []), ([], [1.0]), ([0.0] * 9, [0.0] * 300)])
def test_empty_and_equal_constant_samples_do_not_differ(first: list[float], second: list[float]) -> None:
    assert kolmogorov_smirnov(ordered(first), ordered(second)) == (0.0, 1.0)


def test_different_constants_differ_entirely() -> None:
    distance, p_value = kolmogorov_smirnov(ordered([0.0] * 300), ordered([1.0] * 300))
    assert distance == 1.0
    assert p_value < 1e-30


def test_kolmogorov_smirnov_keeps_its_level_with_ties() -> None:
    random = np.random.default_rng(3)
    draws = [
        kolmogorov_smirnov(ordered(random.poisson(2, 1000).tolist()), ordered(random.poisson(2, 300).tolist()))[1]
        for _ in range(400)
    ]
    assert np.mean(np.array(draws) <= 0.05) <= 0.05


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_share_tail_is_the_one_sided_exact_test_of_fisher(
    first_size: int, second_size: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, first_size))
    second = data.draw(st.integers(0, second_size))
    tail = share_tail([first], first_size, [second], second_size)[0]
    table = [[second, second_size - second], [first, first_size - first]]
    difference = second * first_size - first * second_size
    if difference == 0:
        assert tail == 1.0
    else:
        expected = stats.fisher_exact(np.array(table), alternative="greater" if difference > 0 else "less").pvalue
        assert tail == pytest.approx(expected, rel=1e-6)


def test_tails_above_the_limit_are_one_and_those_below_stay() -> None:
    hits = np.arange(60)
    exact = share_tail(np.full(60, 100), 1000, hits, 300)
    limited = share_tail(np.full(60, 100), 1000, hits, 300, limit=0.01)
    assert np.array_equal(limited, np.where(exact <= 0.01, exact, 1.0))
    assert (limited < 1).any()


def test_the_expected_number_is_that_of_all_outcomes_as_extreme() -> None:
    first_size, second_size = 40, 25
    words_with = np.array([0, 3, 0, 5, 2, 0, 0, 1, 0, 0, 4])
    limits = np.array([0.3, 0.05, 0.004, 1e-6])
    expected = np.zeros(len(limits))
    for total, words in enumerate(words_with):
        for second in range(total + 1):
            tail = share_tail([total - second], first_size, [second], second_size)[0]
            probability = stats.hypergeom.pmf(second, first_size + second_size, total, second_size)
            expected += words * probability * (tail <= limits)
    assert expected_as_extreme(limits, words_with, first_size, second_size) == pytest.approx(expected, rel=1e-9)


def test_the_expected_number_is_never_too_small_for_common_words() -> None:
    words_with = np.zeros(301, dtype=np.int64)
    words_with[300] = 10
    expected = expected_as_extreme(np.array([0.001]), words_with, 600, 400)
    tails = share_tail(300 - np.arange(301), 600, np.arange(301), 400)
    exact = 10 * stats.hypergeom.pmf(np.arange(301), 1000, 300, 400)[tails <= 0.001].sum()
    assert exact <= expected[0] <= 10 * 2 * 0.001 * (1 + 1e-9)


def test_holm_multiplies_by_the_tests_that_remain_and_never_falls() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_cohens_h_is_signed_and_stretches_small_shares() -> None:
    assert cohens_h([0.0, 0.5, 0.6], [1.0, 0.5, 0.5]) == pytest.approx([np.pi, 0.0, -0.2014], abs=1e-4)
    assert cohens_h(0.001, 0.051) > 2 * cohens_h(0.475, 0.525)
