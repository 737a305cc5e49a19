"""Words are counted in bounded memory: those that are kept exactly, and what is known of the others bounds them."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.counts import TextCounter, Vocabulary, count_texts
from sentiment.drift.check import check
from sentiment.drift.samples import Reference, Sample, Window
from sentiment.drift.words import MAXIMUM_WORD_CHARACTERS, WordCounter, WordTexts, short
from sentiment.text import words
from tests.running import UNTRACED
from tests.unit.drift_texts import MODEL, make_texts

# Few words, so that many share a number of texts, and some are long.
WORDS = [f"{letter}{number}" for letter in "abcdef" for number in range(6)] + ["long" * 20, "long" * 20 + "er"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=30)


def plain(texts: Sequence[str]) -> Counter[str]:
    """In how many texts each word is, as one would count by hand."""
    return Counter(word for text in texts for word in {short(word) for word in words(text)})


def by_word(sample: Sample | WordTexts) -> dict[str, int]:
    """In how many texts each word is, of those in any."""
    texts = sample.word_texts if isinstance(sample, Sample) else sample.texts
    return {word: count for word, count in zip(sample.words, texts.tolist(), strict=True) if count}


def counted(texts: Sequence[str], always: Sequence[str], most: int) -> WordTexts:
    known = Vocabulary(tuple(always))
    counter = WordCounter(known, most)
    for add in (counter.add, counter.recount):
        for text in texts:
            one = TextCounter(known)
            one.add(text)
            add(one.counts())
        if not counter.overflowed:
            break
    return counter.result()


def test_texts_that_were_counted_with_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="not counted with the words"):
        WordCounter(Vocabulary(("good",)), 10).add(count_texts(["good"]))


@given(TEXTS, st.lists(st.sampled_from(WORDS).map(short), unique=True, max_size=8))
def test_where_all_words_are_kept_they_are_those_of_the_plain_count(texts: list[str], always: list[str]) -> None:
    found = counted(texts, always, most=len(WORDS))
    assert by_word(found) == plain(texts)
    assert (found.rest_texts, found.rest_total) == (0, 0)


@settings(deadline=None)
@given(TEXTS, st.lists(st.sampled_from(WORDS).map(short), unique=True, max_size=8), st.integers(0, 10))
def test_what_is_kept_is_exact_and_what_is_not_is_in_no_more_texts_than_is_said(
    texts: list[str], always: list[str], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentiment.drift.words._BUCKETS", 8)  # so few that words share them
        found, exact = counted(texts, always, most), plain(texts)
    kept = by_word(found)
    assert kept == {word: exact[word] for word in kept}
    assert len(kept.keys() - {*always}) <= most
    left = {word: count for word, count in exact.items() if word not in kept}
    assert not left.keys() & {*always}
    assert all(count <= found.rest_texts for count in left.values())
    assert found.rest_total == sum(left.values())


@given(TEXTS, st.integers(0, 10))
def test_of_words_that_are_known_already_the_strongest_stay(texts: list[str], most: int) -> None:
    exact = plain(texts)
    whole = WordTexts(tuple(exact), np.array([*exact.values()], dtype=np.int64))
    kept = whole.strongest(most)
    assert by_word(kept) == {word: exact[word] for word in kept.words}
    assert len(kept.words) == min(most, len(exact))
    left = [count for word, count in exact.items() if word not in kept.words]
    assert (kept.rest_texts, kept.rest_total) == (max(left, default=0), sum(left))


@given(TEXTS)
def test_a_window_is_the_same_with_and_without_its_reference_where_nothing_is_left_out(texts: list[str]) -> None:
    reference = Reference.from_texts(make_texts(20, 1), MODEL)
    alone, together = Window.from_texts(texts, MODEL), Window.from_texts(texts, MODEL, reference=reference)
    assert by_word(alone) == by_word(together) == plain(texts)


def test_a_window_that_is_read_twice_gives_the_report_of_one_that_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = Reference.from_texts(make_texts(1_000, 1), MODEL)
    texts = [f"{text} battery" if number % 20 == 0 else text for number, text in enumerate(make_texts(500, 2))]
    # Of each of these words a text has one, so that they are left out.
    texts = [f"{text} only{number} own{number}" for number, text in enumerate(texts)]
    whole = check(reference, Window.from_texts(texts, MODEL, reference=reference))
    monkeypatch.setattr(Window, "most_words", 200)
    window = Window.from_texts(texts, MODEL, reference=reference)
    assert window.rest_texts == 1
    assert window.rest_total >= 800
    assert check(reference, window) == whole
    assert whole.words[0].word == "battery"


def samples(most: int | None, texts: Sequence[str], others: Sequence[str]) -> tuple[Reference, Window]:
    with pytest.MonkeyPatch.context() as patch:
        if most is not None:
            patch.setattr(Window, "most_words", most)
            patch.setattr(Reference, "most_words", most)
        reference = Reference.from_texts(others, MODEL)
        return reference, Window.from_texts(texts, MODEL, reference=reference)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 300), st.floats(0, 0.3))
def test_words_that_are_left_out_make_no_word_more_significant(seed: int, most: int, share: float) -> None:
    shifted = [
        f"{text} new{number % 7}" if number < share * 200 else text
        for number, text in enumerate(make_texts(200, seed + 1))
    ]
    whole = check(*samples(None, shifted, make_texts(400, seed)))
    cut = check(*samples(most, shifted, make_texts(400, seed)))
    exact = {word.word: word.p_value for word in whole.words}
    for word in cut.words:
        assert word.p_value >= exact.get(word.word, 0) * (1 - 1e-9)
    assert cut.tests["words"].p_value >= whole.tests["words"].p_value * (1 - 1e-9)


def test_a_word_that_the_reference_has_left_out_is_not_taken_for_new() -> None:
    rare = [f"{text} rare{number % 40}" for number, text in enumerate(make_texts(400, 1))]
    reference, window = samples(20, [f"{text} rare1" if n < 5 else text for n, text in enumerate(rare[:200])], rare)
    assert "rare1" not in reference.words
    assert "rare1" not in {word.word for word in check(reference, window).words}


def test_long_words_are_told_apart_and_named_shortly() -> None:
    long = ["a" * 41, "a" * 42, "a" * 100_000]
    names = {short(word) for word in long}
    assert len(names) == 3
    assert {len(name) for name in names} == {MAXIMUM_WORD_CHARACTERS}
    assert short("a" * 40) == "a" * 40


def test_a_reference_says_when_it_is_read_again_what_it_has_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reference, "most_words", 30)
    reference = Reference.from_texts(make_texts(50, 3), MODEL)
    read = Reference.from_bytes(reference.to_bytes())
    assert len(read.words) <= 30
    assert (read.rest_texts, read.rest_total) == (reference.rest_texts, reference.rest_total)
    assert read.rest_total > read.rest_texts > 0


def test_a_reference_of_an_earlier_release_is_read_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = Reference.from_texts([*make_texts(50, 3), "é" * 100_000], MODEL).to_bytes()
    monkeypatch.setattr(Reference, "most_words", 30)
    read = Reference.from_bytes(content)
    assert len(read.words) == 30
    assert max(map(len, read.words)) <= MAXIMUM_WORD_CHARACTERS
    assert read.rest_texts > 0


def test_the_counter_of_texts_says_how_much_memory_it_takes() -> None:
    counter = TextCounter()
    counter.add("good bad good")
    two_words = counter.size_bytes
    counter.add("good bad good")
    assert two_words < counter.size_bytes < 2 * two_words
    counter.add("é" * 100_000)
    assert counter.size_bytes > 400_000


WORST = {
    # Words of two letters of four bytes each, all different: 33,333 in a text.
    "four-byte": "' '.join(four[n // 20_000] + four[n % 20_000] for n in range(i * 33_333, (i + 1) * 33_333))",
    "ascii": "' '.join(f'{n:06x}' for n in range(i * 14_285, (i + 1) * 14_285))",
    "one-long-word": "four[i] * 100_000",
}
MEASURE = """
import json, sys
from sentiment.drift.check import check
from sentiment.drift.samples import Reference, Window
from tests.unit.drift_texts import MODEL, make_texts

four = [chr(0x20000 + n) for n in range(20_000)]

class Texts:
    def __iter__(self):
        for i in range(500):
            text = {text}
            assert 99_990 <= len(text) <= 100_000
            yield "needle " + text[7:] if i % 25 == 0 else text

def peak_bytes():
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

reference = Reference.from_texts(make_texts(2_000, 1), MODEL)
check(reference, Window.from_texts(make_texts(500, 2), MODEL, reference=reference))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = peak_bytes()
window = Window.from_texts(Texts(), MODEL, reference=reference)
report = check(reference, window)
needles = dict(zip(window.words, window.word_texts.tolist()))["needle"]
print(json.dumps([peak_bytes() - before, report.status, window.rest_texts, needles]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux says what a process took at its peak")
@pytest.mark.parametrize("kind", WORST)
def test_a_window_of_500_of_the_worst_texts_takes_at_most_40_megabytes(kind: str) -> None:
    command = [sys.executable, "-c", MEASURE.replace("{text}", WORST[kind])]
    output = subprocess.run(command, env={**os.environ, **UNTRACED}, capture_output=True, text=True, check=True).stdout
    peak_bytes, status, rest_texts, needles = json.loads(output)
    assert status == "drift"
    assert peak_bytes <= 40_000_000
    assert rest_texts <= 10, "a word in more of the 500 texts is never missed"
    assert needles == 20
