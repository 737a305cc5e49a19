"""A check tells drift from chance, names the words, and makes sense of windows that are strange."""

import json
import math
from typing import Any

import msgspec
import pytest

from contracts.codec import encode
from contracts.drift import Comparison
from sentiment.drift import DEFAULT_THRESHOLDS, Reference, Window, check
from sentiment.drift.check import MINIMUM_LABELS
from tests.unit.drift_texts import MODEL, WORDS, make_texts

REFERENCE_TEXTS = make_texts(2000, 1)
REFERENCE = Reference.from_texts(REFERENCE_TEXTS, MODEL)


def check_texts(texts: list[str], **options: Any) -> Comparison:
    return check(REFERENCE, Window.from_texts(texts, MODEL), **options)


def drifting(report: Comparison) -> set[str]:
    return {name for name, test in report.tests.items() if test.drift}


def test_false_alarms_stay_within_the_level() -> None:
    alarms = [check_texts(make_texts(200, seed), level=0.05).drift for seed in range(2, 202)]
    # With probability 0.05 each, more than 17 in 200 come in less than 1 % of such tests.
    assert sum(alarms) <= 17


def test_new_words_are_drift_and_are_named() -> None:
    texts = make_texts(190, 2) + [f"{text} battery charger" for text in make_texts(10, 3)]
    report = check_texts(texts)
    assert report.status == "drift"
    assert "words" in drifting(report)
    assert {word.word for word in report.words[:2]} == {"battery", "charger"}
    assert (report.words[0].share_reference, report.words[0].share_window) == (0, 0.05)
    assert report.words[0].p_value < 0.01


def test_words_that_vanish_are_drift_and_are_named() -> None:
    report = check_texts([text.replace("word003", "word000") for text in make_texts(300, 2)])
    assert report.drift
    assert report.words[0].word == "word003"
    assert report.words[0].share_window == 0


def test_longer_texts_are_drift_of_length() -> None:
    pairs = zip(make_texts(200, 2), make_texts(200, 3), strict=True)
    assert "length" in drifting(check_texts([f"{first} {second}" for first, second in pairs]))


def test_texts_of_other_sentiment_are_drift_of_the_score() -> None:
    scorer = MODEL.scorer()
    positive = tuple(word for word in WORDS if scorer.look_up(word) > 0)
    assert "score" in drifting(check_texts(make_texts(200, 2, words=positive)))


def test_texts_in_unknown_words_are_drift_of_unknown_words_and_likelihood() -> None:
    report = check_texts([text.replace("word", "palabra") for text in make_texts(200, 2)])
    assert {"words", "unknown_words", "log_likelihood"} <= drifting(report)


def test_the_words_of_a_reference_in_the_same_proportions_are_not_drift() -> None:
    report = check(REFERENCE, Window.from_texts(REFERENCE_TEXTS, MODEL))
    assert report.status == "ok"
    assert {test.p_value for test in report.tests.values()} == {1.0}
    assert report.words == []


def test_significant_but_tiny_is_ok() -> None:
    texts = [f"{text} word399" if number % 10 < 4 else text for number, text in enumerate(make_texts(6000, 2))]
    reference = Reference.from_texts(
        [f"{text} word399" if number % 100 < 35 else text for number, text in enumerate(make_texts(6000, 3))], MODEL
    )
    report = check(reference, Window.from_texts(texts, MODEL))
    assert report.tests["words"].adjusted_p_value < 0.01
    assert report.tests["words"].effect_size < report.tests["words"].threshold
    assert report.status == "ok"
    assert check(reference, Window.from_texts(texts, MODEL), thresholds={"words": 0.05}).status == "drift"


@pytest.mark.parametrize("texts", [[], ["one"] * 199], ids=["none", "too few"])
def test_a_small_window_is_not_enough_data(texts: list[str]) -> None:
    report = check_texts(texts)
    assert (report.status, report.drift, report.tests, report.words) == ("not-enough-data", False, {}, [])
    assert report.window.documents == len(texts)


def test_a_small_reference_is_not_enough_data() -> None:
    report = check(Reference.from_texts(["one"], MODEL), Window.from_texts(make_texts(200, 2), MODEL))
    assert report.status == "not-enough-data"


@pytest.mark.parametrize(
    "text", ["", " \n", "!?", "word000", REFERENCE_TEXTS[0], "unheard " * 2000, "日本語"],
    ids=["empty", "blank", "punctuation", "one word", "a text of the reference", "long", "Japanese"],
)  # fmt: skip
def test_copies_of_one_text_are_drift_from_varied_texts(text: str) -> None:
    report = check_texts([text] * 200)
    assert report.drift
    assert all_finite(msgspec.to_builtins(report))


@pytest.mark.parametrize("text", ["", "word000", "unheard of"])
def test_copies_of_one_text_are_not_drift_from_copies_of_the_same(text: str) -> None:
    reference = Reference.from_texts([text] * 300, MODEL)
    assert check(reference, Window.from_texts([text] * 200, MODEL)).status == "ok"


def labelled_window(errors: int, labels: int) -> Window:
    texts = make_texts(200, 5)
    scorer = MODEL.scorer()
    right = [int(scorer.log_odds(text) > 0) for text in texts]
    known = [1 - label if number < errors else label for number, label in enumerate(right)][:labels]
    return Window.from_texts(texts, MODEL, [*known, *[None] * (200 - labels)])


@pytest.mark.parametrize(("errors", "drift"), [(0, False), (12, False), (60, True)])
def test_a_higher_error_rate_is_drift_and_a_lower_one_is_not(errors: int, drift: bool) -> None:
    scorer = MODEL.scorer()
    labels = [int((scorer.log_odds(text) > 0) != (i % 20 == 0)) for i, text in enumerate(REFERENCE_TEXTS)]
    report = check(Reference.from_texts(REFERENCE_TEXTS, MODEL, labels), labelled_window(errors, 200))
    assert report.reference.error_rate == 0.05
    assert report.window.error_rate == errors / 200
    assert report.tests["error_rate"].drift is drift


def test_few_labels_are_no_test() -> None:
    reference = Reference.from_texts(REFERENCE_TEXTS, MODEL, [0] * len(REFERENCE_TEXTS))
    assert "error_rate" not in check(reference, labelled_window(0, MINIMUM_LABELS - 1)).tests
    assert "error_rate" in check(reference, labelled_window(0, MINIMUM_LABELS)).tests


def test_a_report_is_json_of_finite_numbers() -> None:
    report = json.loads(encode(check_texts([*make_texts(150, 2), *["battery"] * 50])))
    assert all_finite(report)
    assert set(report) == {"drift", "status", "tests", "words", "window", "reference"}
    assert report["drift"] is True
    assert list(report["tests"]) == [name for name in DEFAULT_THRESHOLDS if name != "error_rate"]
    assert set(report["tests"]["words"]) == {
        "statistic", "p_value", "adjusted_p_value", "effect_size", "threshold", "drift"
    }  # fmt: skip
    assert set(report["words"][0]) == {"word", "share_reference", "share_window", "p_value"}
    assert len(report["words"]) <= 10


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        check_texts(make_texts(200, 2), level=0.0)
    with pytest.raises(ValueError, match="no test 'lenght'"):
        check_texts(make_texts(200, 2), thresholds={"lenght": 0.1})


def all_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    if isinstance(value, list):
        return all(map(all_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
