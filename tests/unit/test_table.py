"""The packed table is the dictionary that it was packed from."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.scorer import CACHED_WORDS, Scorer
from sentiment.table import BLOCK_WORDS, PackedTable

WORDS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)
TABLES = st.dictionaries(WORDS, st.floats(allow_nan=False) | st.sampled_from([0.5, -0.5]))


@given(TABLES, st.lists(st.text()))
def test_a_packed_table_equals_its_dictionary(table: dict[str, float], others: list[str]) -> None:
    packed = PackedTable.pack(table)
    assert packed == table
    assert list(packed) == sorted(table)
    assert [packed.get(word) for word in others] == [table.get(word) for word in others]


@pytest.mark.parametrize("size", [0, 1, BLOCK_WORDS - 1, BLOCK_WORDS, BLOCK_WORDS + 1, 70_000])
def test_every_word_is_found_whatever_the_size(size: int) -> None:
    table = {f"w{number}": number / 3 for number in range(size)}
    packed = PackedTable.pack(table)
    assert dict(packed) == table
    for unknown in ("", "\n", "w", "w0\nw1", "w00", "a", "z", "\ud800"):
        assert unknown not in packed


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="fit together"):
        PackedTable(b"\na\nb\n", array("H", [0]), array("d", [1.0]))
    with pytest.raises(ValueError, match="fit together"):
        PackedTable(b"\na\nb\n", array("H", [0, 1]), array("d", [1.0]))


def test_a_scorer_stays_right_when_its_cache_overflows() -> None:
    table = {f"w{number}": float(number % 7) for number in range(3 * CACHED_WORDS)}
    scorer = Scorer(PackedTable.pack(table), 0.0)
    for _ in range(2):
        for first in range(0, len(table), 5_000):
            words = [f"w{number}" for number in range(first, first + 5_000)]
            assert scorer.log_odds(" ".join(words)) == sum(table[word] for word in words)
