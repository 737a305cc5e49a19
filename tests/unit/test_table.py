"""The table that is served gives each word its number, and 0 to all others, whatever was asked before."""

import gc
import math
import weakref
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marisa_trie import Trie

from sentiment.table import Table
from sentiment.text import words
from tests.unit.texts import TEXTS

NUMBERS = st.floats(-1e9, 1e9)
KEPT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
TABLES = st.dictionaries(KEPT, NUMBERS, max_size=80)


def table(entries: dict[str, float]) -> Table:
    return Table.from_pairs(entries, entries.values())


@settings(max_examples=200, deadline=None)
@given(TABLES, st.lists(TEXTS, max_size=8))
def test_it_is_a_mapping_with_zero_for_what_it_lacks(entries: dict[str, float], texts: list[str]) -> None:
    found = Table.from_bytes(*table(entries).to_bytes())
    assert len(found) == len(entries)
    for _ in range(2):  # the second time from what was seen
        for word in [*entries, *(word for text in texts for word in words(text))]:
            assert found.look_up(word) == found.find(word) == entries.get(word, 0.0)


def test_words_that_begin_alike_are_kept_apart() -> None:
    entries = {"good": 1.0, "goodness": 2.0, "go": 3.0, "goo": 4.0}
    found = table(entries)
    assert [found.look_up(word) for word in (*entries, "g", "goodn", "goods", "")] == [1.0, 2.0, 3.0, 4.0, 0, 0, 0, 0]


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    entries = {f"word{number}": float(number) for number in range(30_000)}
    found = table(entries)
    for _ in range(2):
        assert [found.look_up(word) for word in entries] == list(entries.values())
        assert [found.look_up(f"un{word}") for word in entries] == [0.0] * len(entries)


def test_words_of_any_length_are_found() -> None:
    assert table({"a" * 10_000: 5.0}).look_up("a" * 10_000) == 5.0


def test_weights_are_little_endian_in_the_order_of_the_trie() -> None:
    trie, weights = table({"bad": -1.0, "good": 2.0}).to_bytes()
    places = Trie().frombytes(trie)
    assert len(weights) == 16
    assert weights[8 * places["good"] : 8 * places["good"] + 8] == b"\0\0\0\0\0\0\0@"


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 1e308])
def test_weights_that_would_make_log_odds_infinite_are_refused(weight: float) -> None:
    trie, _ = table({"bad": -1.0, "good": 2.0}).to_bytes()
    with pytest.raises(ValueError, match="no log-odds"):
        Table.from_bytes(trie, array("d", [1.0, weight]).tobytes())


def test_a_word_that_the_trie_cannot_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        table({"go\0od": 1.0})


def test_words_and_numbers_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Table.from_pairs(["good", "bad"], [1.0])
    with pytest.raises(ValueError, match="2 words and 1 weights"):
        Table(Trie(["bad", "good"]), array("d", [1.0]))


def test_bytes_that_were_cut_off_are_refused() -> None:
    trie, weights = table({"bad": -1.0, "good": 2.0}).to_bytes()
    with pytest.raises(ValueError, match="trie can't be read"):
        Table.from_bytes(trie[:100], weights)
    with pytest.raises(ValueError, match="weights"):
        Table.from_bytes(trie, weights[:8])
    with pytest.raises(ValueError, match="bytes"):
        Table.from_bytes(trie, weights[:7])


def test_one_that_is_replaced_is_freed_without_a_garbage_collection() -> None:
    trie, weights = Trie(["good"]), array("d", [2.0])
    look_up = Table(trie, weights).look_up
    assert look_up("good") == 2.0
    freed = weakref.ref(weights)
    gc.disable()  # as good as: what predict serves is frozen, and collections pass over it
    try:
        del trie, weights, look_up
        assert freed() is None
    finally:
        gc.enable()
