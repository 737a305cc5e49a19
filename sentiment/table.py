"""Words with a number each, in a tenth of a dictionary's memory."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Self

BLOCK_WORDS = 32  # fewer take more memory, more take more time


class PackedTable(Mapping[str, float]):
    """A read-only mapping from words to float64, exact; a look-up takes about 2 µs.

    The sorted words are one text, a line each, in blocks of BLOCK_WORDS. A look-up bisects for the block, whose first
    words are at hand, and searches in it; the line feeds before the word tell its place. Words of equal counts have
    equal log-odds, so the distinct numbers are few and each word has the index of its own.

    words: in the order of code points, as UTF-8, with a line feed before and after each; b"" for none.
    indices: one a word, unsigned, into `numbers`.
    """

    def __init__(self, words: bytes, indices: "array[int]", numbers: "array[float]") -> None:
        """Keep the parts; raises ValueError where they don't fit together."""
        if len(indices) != max(words.count(b"\n") - 1, 0) or (indices and max(indices) >= len(numbers)):
            raise ValueError("the parts of the table of words don't fit together")
        self.words = words
        self.indices = indices
        self.numbers = numbers
        self._starts = _block_starts(words)
        self._first_words = [words[start + 1 : words.index(b"\n", start + 1)] for start in self._starts[:-1]]

    @classmethod
    def pack(cls, table: Mapping[str, float]) -> Self:
        """Return `table` packed; its words have no line feed."""
        words = sorted(table)
        index = {number: place for place, number in enumerate(dict.fromkeys(table.values()))}
        return cls(
            "\n".join(["", *words, ""]).encode() if words else b"",
            array("H" if len(index) <= 1 << 16 else "I", [index[table[word]] for word in words]),
            array("d", index),
        )

    def __getitem__(self, word: str) -> float:
        """Return the number of `word`; raises KeyError."""
        encoded = word.encode(errors="surrogatepass")
        block = bisect_right(self._first_words, encoded) - 1
        if block >= 0 and "\n" not in word:
            start = self._starts[block]
            found = self.words.find(b"\n%b\n" % encoded, start, self._starts[block + 1] + 1)
            if found >= 0:
                return self.numbers[self.indices[block * BLOCK_WORDS + self.words.count(b"\n", start, found)]]
        raise KeyError(word)

    def __iter__(self) -> Iterator[str]:
        """Yield the words in order."""
        return iter(self.words.decode().split("\n")[1:-1])

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.indices)


def _block_starts(words: bytes) -> "array[int]":
    """Return where the line feed before each block's first word is, and that after the last word."""
    starts, position = array("I", [0]), 0
    while position < len(words) - 1:
        for _ in range(BLOCK_WORDS):
            if position < len(words) - 1:
                position = words.index(b"\n", position + 1)
        starts.append(position)
    return starts
