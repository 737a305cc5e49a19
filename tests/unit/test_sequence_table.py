"""All sequences of a text at once get the numbers that the table has of each, and no other."""

import gc
import weakref
from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.features import sequences
from sentiment.sequence_table import FEWEST_WORDS, SequenceTable, pack_sequences
from sentiment.table import Table
from tests.unit.texts import TEXTS

WEIGHTS = st.sampled_from((0.0, -0.1, 0.3, 1e9))


def sequence_table(entries: Mapping[str, float]) -> SequenceTable:
    table = Table.from_pairs(entries, entries.values())
    return SequenceTable(table, pack_sequences(table.words()))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(TEXTS, min_size=1, max_size=4))
def test_a_text_has_the_numbers_of_its_sequences_each_once(data: st.DataObject, texts: list[str]) -> None:
    texts = [*texts, " ".join(texts), " ".join(texts * FEWEST_WORDS)]
    terms = sorted({"good", "bad film", *(term for text in texts for term in sequences(text))})
    chosen = data.draw(st.sets(st.sampled_from(terms), min_size=1))
    entries = {term: data.draw(WEIGHTS) for term in sorted(chosen)}
    found = sequence_table(entries)
    for text in texts:
        expected = [entries[term] for term in sequences(text) if entries.get(term)]
        assert sorted(found.weights(text)) == sorted(expected)


def test_no_sequence_gets_the_number_of_another() -> None:
    random = Random(5)
    words = [f"word{number}" for number in range(150)]
    pairs = [f"{begin} {word}" for begin in words for word in words]
    entries = {term: float(number + 1) for number, term in enumerate([*words, *random.sample(pairs, len(pairs) // 2)])}
    found = sequence_table(entries)
    for _ in range(50):
        text = " ".join(random.choices(words, k=1_000))
        assert sorted(found.weights(text)) == sorted(entries[term] for term in sequences(text) if term in entries)


def test_a_word_that_no_term_has_stands_between_its_neighbours() -> None:
    entries = {"good": 1.0, "film": 2.0, "good film": 4.0, "a good film": 8.0}
    text = "film xyz good xyz film xyz xyz good xyz xyz a xyz good film"
    assert len(text.split()) >= FEWEST_WORDS
    assert sorted(sequence_table(entries).weights(text)) == [1.0, 2.0, 4.0]


def test_it_can_be_read_where_the_terms_lack_a_word_of_their_own() -> None:
    text = "not a bad film at all , said she , and so say I"
    assert sorted(sequence_table({"not a bad": 2.0, "say i": 3.0}).weights(text)) == [2.0, 3.0]


def test_what_is_not_of_the_table_is_refused() -> None:
    table = Table.from_pairs(["bad", "bad film", "film"], [1.0, 2.0, 3.0])
    packed = pack_sequences(table.words())
    with pytest.raises(ValueError, match="2 keys for 3 terms"):
        SequenceTable(table, packed[:16])
    with pytest.raises(ValueError, match="buffer size"):
        SequenceTable(table, packed[:23])
    with pytest.raises(ValueError, match="utf-8"):
        SequenceTable(table, packed + b"\xff")
    with pytest.raises(ValueError, match="the same key"):
        SequenceTable(table, np.ones(3, dtype="<u8").tobytes() + b"bad")


def test_a_term_of_more_words_than_a_sequence_has_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 words"):
        pack_sequences(["good", "not a good film"])


def test_one_that_is_replaced_is_freed_without_a_garbage_collection() -> None:
    found = sequence_table({"good": 1.0})
    weights = found.weights
    freed = weakref.ref(found)
    gc.disable()  # as good as: what predict serves is frozen, and collections pass over it
    try:
        del found, weights
        assert freed() is None
    finally:
        gc.enable()
