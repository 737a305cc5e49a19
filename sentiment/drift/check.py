"""The comparison of a window with a reference: tests, effect sizes, the words that moved, one verdict."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress, repeat

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from contracts.drift import AlertKind, Comparison, DriftTest, SampleFigures, State, Status, WordShift
from sentiment.drift.measures import MEASURES
from sentiment.drift.samples import Reference, Sample, Window
from sentiment.drift.two_sample import cohens_h, expected_as_extreme, holm, kolmogorov_smirnov, share_tail

DEFAULT_LEVEL = 0.01
DEFAULT_MINIMUM_TEXTS = 200
# Below the threshold a difference is too small to matter, however significant. Of the words it is Cohen's h,
# of the measures the Kolmogorov-Smirnov distance (at least that share of texts is of another kind), of
# the error rate the rise in it.
DEFAULT_THRESHOLDS: Mapping[str, float] = {"words": 0.2, **dict.fromkeys((*MEASURES, "error_rate"), 0.05)}
# Fewer labels on either side can show nothing, and a test that can't would only weaken the others.
MINIMUM_LABELS = 30
# A word must be in so many texts, of both sides together; rarer ones could hardly be significant.
MINIMUM_WORD_TEXTS = 5
NAMED_WORDS = 10
# A word that chance alone would move as far with more than this probability has not moved.
NAMED_TAIL = 0.01
# A test before the others are known: its statistic, p-value and effect size.
_Finding = tuple[float, float, float]


def check(
    reference: Reference,
    window: Window,
    *,
    level: float = DEFAULT_LEVEL,
    minimum_texts: int = DEFAULT_MINIMUM_TEXTS,
    thresholds: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare a window with a reference; the unit of every test is the text, not the word.

    level: the probability of any false alarm in one check, at most, where texts are independent.
    minimum_texts: with fewer on either side the status is `not-enough-data`.
    thresholds: effect sizes that replace those of DEFAULT_THRESHOLDS, by the name of the test.
    Raises ValueError for a level not between 0 and 1, or a threshold of no known test.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, not {level}")
    if unknown := (thresholds or {}).keys() - DEFAULT_THRESHOLDS.keys():
        raise ValueError(f"there is no test {sorted(unknown)[0]!r}; there are {', '.join(DEFAULT_THRESHOLDS)}")
    tests: dict[str, DriftTest] = {}
    words: list[WordShift] = []
    status: Status = "not-enough-data"
    if min(reference.texts, window.texts) >= max(minimum_texts, 1):
        tests, words = _compare(reference, window, level, {**DEFAULT_THRESHOLDS, **(thresholds or {})})
        status = "drift" if any(test.drift for test in tests.values()) else "ok"
    return Comparison(status == "drift", status, tests, words, _figures(window), _figures(reference))


def _compare(
    reference: Reference, window: Window, level: float, thresholds: Mapping[str, float]
) -> tuple[dict[str, DriftTest], list[WordShift]]:
    findings: dict[str, _Finding] = {}
    for name in MEASURES:
        distance, p_value = kolmogorov_smirnov(reference.measures[name], window.measures[name])
        findings[name] = distance, p_value, distance
    if min(reference.labelled, window.labelled) >= MINIMUM_LABELS:
        findings["error_rate"] = _compare_errors(reference, window)
    findings["words"], words = _compare_words(reference, window, level / (len(findings) + 1))
    adjusted = holm({name: p_value for name, (_, p_value, _) in findings.items()})
    tests = {}
    for name, threshold in thresholds.items():
        if name in findings:
            statistic, p_value, effect = findings[name]
            drift = adjusted[name] <= level and effect >= threshold
            tests[name] = DriftTest(statistic, p_value, adjusted[name], effect, threshold, drift)
    return tests, words


def _compare_errors(reference: Reference, window: Window) -> _Finding:
    """Test whether the error rate has risen: that it falls is no reason to wake anyone."""
    rate = window.errors / window.labelled
    rise = rate - reference.errors / reference.labelled
    p_value = 1.0
    if rise > 0:
        p_value = float(share_tail([reference.errors], reference.labelled, [window.errors], window.labelled)[0])
    return rate, p_value, rise


def _compare_words(reference: Reference, window: Window, level: float) -> tuple[_Finding, list[WordShift]]:
    """Test the share of texts that have it for each word seen often enough.

    How often a word was seen on both sides together says nothing about where, so leaving out the rare ones
    biases no test. The family's p-value is that of the word that moved most, corrected for all: for those, too, of
    which it is not known how often each was seen.
    """
    words, in_reference, in_window, guessed = _align(reference, window)
    total = in_reference + in_window
    tested = np.flatnonzero(total >= MINIMUM_WORD_TEXTS)
    if not len(tested):
        return (0.0, 1.0, 0.0), []
    before, now = in_reference[tested], in_window[tested]
    tails = share_tail(before, reference.texts, now, window.texts, limit=NAMED_TAIL)
    if tails.min() == 1.0:
        return (0.0, 1.0, 0.0), []
    share_before, share_now = before / reference.texts, now / window.texts
    effects = np.abs(cohens_h(share_before, share_now))
    moved = np.flatnonzero(tails <= NAMED_TAIL)
    order = moved[np.lexsort((-effects[moved], tails[moved]))][:NAMED_WORDS]
    exact = np.bincount(total[tested[~guessed[tested]]], minlength=1)
    others = int(guessed[tested].sum()) + _most_others(reference, window)
    expected = expected_as_extreme(tails[order], exact, reference.texts, window.texts) + 2 * tails[order] * others
    p_values = np.minimum(1.0, expected)
    shifts = [
        WordShift(words[tested[i]], float(share_before[i]), float(share_now[i]), float(p_value))
        for i, p_value in zip(order, p_values, strict=True)
    ]
    # With many texts the most significant word may have moved little, and another one much.
    first = order[0]
    effect = effects[tails <= max(tails[first], level / (2 * (len(tested) + others)))].max()
    return (float(share_now[first] - share_before[first]), float(p_values[0]), float(effect)), shifts


def _align(
    reference: Reference, window: Window
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the words of both, in how many texts of each side each one is, and for which of them that is a guess.

    A word that one side has not kept is in at most `rest_texts` of its texts. It counts as if it were in as many as
    come nearest to the other side's share: no word moves because it was not kept.
    """
    known, unknown = len(reference.words), -1
    if window.words[:known] == reference.words:  # they were counted with it: there is nothing to look up
        words, in_window = window.words, window.word_texts
    else:
        looked_up = map(reference.vocabulary.index.get, window.words, repeat(-1))
        positions = np.fromiter(looked_up, dtype=np.int64, count=len(window.words))
        new = positions < 0
        positions[new] = known + np.arange(new.sum())
        words = reference.words + tuple(compress(window.words, new.tolist()))
        in_window = np.full(len(words), unknown, dtype=np.int64)
        in_window[positions] = window.word_texts
    in_reference = np.full(len(words), unknown, dtype=np.int64)
    in_reference[:known] = reference.word_texts
    only_window, only_reference = in_reference == unknown, in_window == unknown
    alike = in_window[only_window] * reference.texts // window.texts
    in_reference[only_window] = np.minimum(alike, reference.rest_texts)
    alike = in_reference[only_reference] * window.texts // reference.texts
    in_window[only_reference] = np.minimum(alike, window.rest_texts)
    guessed = (only_window & (reference.rest_texts > 0)) | (only_reference & (window.rest_texts > 0))
    return words, in_reference, in_window, guessed


def _most_others(reference: Reference, window: Window) -> int:
    """Return how many of the words that neither side has kept would be tested, at most."""
    if reference.rest_texts + window.rest_texts < MINIMUM_WORD_TEXTS:
        return 0
    return (reference.rest_total + window.rest_total) // MINIMUM_WORD_TEXTS


def _figures(sample: Sample) -> SampleFigures:
    error_rate = sample.errors / sample.labelled if sample.labelled else None
    return SampleFigures(sample.texts, sample.labelled, error_rate)


def counts(status: Status, scored_at: Sequence[datetime], state: State) -> bool:
    """Return whether a check changes the state: it could tell, and at least half of its window is new.

    scored_at: when each text of the window was scored. New is what was scored after the last window that counted.
    """
    until = state.counted_until
    new = len(scored_at) if until is None else sum(time > until for time in scored_at)
    return status != "not-enough-data" and 2 * new >= len(scored_at)


def next_state(state: State, status: Status, at: datetime, confirm: int = 2) -> tuple[State, AlertKind | None]:
    """Return the state after one more check that counts, made `at` some time, and the alert that is due, if any.

    The state changes once `confirm` checks in a row contradict it, in both directions alike.
    Raises ValueError where `confirm` is less than 1.
    """
    if confirm < 1:
        raise ValueError(f"a state needs at least 1 check to change, not {confirm}")
    if (status == "drift") == state.drift:
        return replace(state, contrary_checks=0), None
    if state.contrary_checks + 1 < confirm:
        return replace(state, contrary_checks=state.contrary_checks + 1), None
    changed = replace(state, drift=not state.drift, since=at, contrary_checks=0)
    return changed, "detected" if changed.drift else "cleared"
