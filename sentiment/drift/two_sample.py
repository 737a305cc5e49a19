"""Two-sample tests: exact on shares of texts, Kolmogorov-Smirnov on distributions, Holm over several.

Numbers in, p-values out; each accepts ties, constants and empty samples.
"""

import math
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, kolmogorov

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Terms fall faster than geometrically; a sum that stops here is right to ten digits or so.
_NEGLIGIBLE = 1e-12
# What two ways to compute the same tail may differ by, as a share.
_ROUNDING = 1e-9
# Words in more texts than this are common.
_RARE = 60


def kolmogorov_smirnov(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[float, float]:
    """Return the largest distance D of two sorted samples' distribution functions, and its p-value.

    The p-value is Kolmogorov's limit at the effective size nm / (n + m) with the correction for finite sizes of
    Stephens (Journal of the Royal Statistical Society B 32, 1970), within 3 % of the exact one from 100 on.
    Ties make D smaller, never larger: with them the test is conservative (Noether, Metrika 7, 1963). An
    empty sample gives (0, 1).
    """
    if not len(first) or not len(second):
        return 0.0, 1.0
    # Between two values of one sample its distribution function is flat and the other's rises, so that the
    # largest distance lies at one of its values, or just below it: the smaller sample's are enough.
    few, many = sorted((first, second), key=len)
    distance = max(
        np.abs(np.searchsorted(few, few, side) / len(few) - np.searchsorted(many, few, side) / len(many)).max()
        for side in ("left", "right")
    )
    root = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    return float(distance), float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def share_tail(
    first_hits: ArrayLike, first_size: int, second_hits: ArrayLike, second_size: int, *, limit: float = 1.0
) -> Floats:
    """Return how unlikely it is, where nothing has changed, that the larger share is as large as it is or larger.

    first_hits, second_hits: (W,), texts with each word, among first_size and second_size.
    limit: tails above it are returned as 1, which saves the work of adding them up.

    One tail of Fisher's exact test: given the sum of both, the hits of one side are hypergeometric.
    """
    first = np.asarray(first_hits, dtype=np.int64)
    second = np.asarray(second_hits, dtype=np.int64)
    total, population = first + second, first_size + second_size
    # Of the tail's terms the first is the largest; it is the same seen from either side.
    head = np.exp(_log_probability(second, total, second_size, population))
    difference = second * first_size - first * second_size
    tail = np.ones(first.shape)
    for side, hits, size in ((difference < 0, first, first_size), (difference > 0, second, second_size)):
        few = np.flatnonzero(side & (head <= limit))
        tail[few] = head[few] * _tail_series(hits[few], total[few], size, population)
    return np.where(tail <= limit, tail, 1.0)


def expected_as_extreme(tails: Floats, words_with: Integers, first_size: int, second_size: int) -> Floats:
    """Return how many words are expected to have a `share_tail` of at most each of `tails` (T,) by chance.

    words_with: (K,), the number of words that 0, 1, 2, … texts of both sides together have.

    By Bonferroni's inequality this bounds the probability that any word has, however much words depend on
    each other. It counts only what each word can reach: counts of rare words have few values, most of which
    jump over the limit, and a word too rare to be significant adds nothing (Tarone, 1990; Westfall and
    Wolfinger, 1997). Given how many words there are that is worth a factor of four or so.
    """
    rare = words_with[: _RARE + 1]
    # A common word comes so near to the limit on both sides that the limit itself will do.
    expected: Floats = 2 * tails * words_with[_RARE + 1 :].sum()
    for size in (first_size, second_size):
        reachable = _tail_table(len(rare), size, first_size + second_size)
        for i, tail in enumerate(tails * (1 + _ROUNDING)):
            expected[i] += rare @ np.where(reachable <= tail, reachable, 0.0).max(axis=1)
    return expected


def cohens_h(first_share: ArrayLike, second_share: ArrayLike) -> Floats:
    """Return Cohen's h of two shares, signed; 0.2 is small, 0.5 medium, 0.8 large (Cohen, 1988, chapter 6)."""
    difference: Floats = 2 * np.arcsin(np.sqrt(second_share)) - 2 * np.arcsin(np.sqrt(first_share))
    return difference


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values adjusted by Holm's step-down method (Holm, 1979), by the same names.

    All p-values adjusted to at most `level` can be believed at once: one or more false ones among them
    have probability `level` at most, however the tests depend on each other.
    """
    names = sorted(p_values, key=p_values.__getitem__)
    scaled = (min(1.0, (len(names) - rank) * p_values[name]) for rank, name in enumerate(names))
    return dict(zip(names, accumulate(scaled, max), strict=True))


def _tail_series(hits: Integers, total: Integers, size: int, population: int) -> Floats:
    """Return P(X >= hits) / P(X = hits), X hypergeometric: of `population`, `total` are marked, `size` are drawn.

    hits, total: (W,); each hits above its mean, where the terms fall, so that few need to be added.
    """
    active = np.arange(len(hits))
    reached, marked = hits.astype(np.float64), total.astype(np.float64)
    term = np.ones(len(hits))
    series = np.ones(len(hits))
    while len(active):
        # P(X = k + 1) / P(X = k)
        term *= (marked - reached) * (size - reached)
        term /= (reached + 1) * (population - marked - size + reached + 1)
        series[active] += term
        keep = term > _NEGLIGIBLE * series[active]
        active, marked, term = active[keep], marked[keep], term[keep]
        reached = reached[keep] + 1
    return series


def _tail_table(totals: int, size: int, population: int) -> Floats:
    """Return P(X >= hits) for each total and hits below `totals`, (totals, totals); 0 where it can't be."""
    total, hits = np.indices((totals, totals))
    possible = (hits <= np.minimum(total, size)) & (total - hits <= population - size)
    probability = np.zeros((totals, totals))
    probability[possible] = np.exp(_log_probability(hits[possible], total[possible], size, population))
    tails: Floats = probability[:, ::-1].cumsum(axis=1)[:, ::-1]
    return tails


def _log_probability(hits: Integers, total: Integers, size: int, population: int) -> Floats:
    """Return log P(X = hits), X as for `_tail_series`."""
    log_factorial = gammaln(np.arange(1, population + 2, dtype=np.float64))
    result: Floats = (
        log_factorial[total] - log_factorial[hits] - log_factorial[total - hits]
        + log_factorial[population - total] - log_factorial[size - hits]
        - log_factorial[population - total - size + hits]
        - log_factorial[population] + log_factorial[size] + log_factorial[population - size]
    )  # fmt: skip
    return result
