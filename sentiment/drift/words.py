"""In how many texts each word is, in bounded memory, however many words there are.

Words are counted one by one as long as they are few enough. Where they are not, the texts are read twice. First each
word goes to one of 8,388,608 buckets by its hash, and of a bucket only the sum of its words' texts is kept, so that no
word is in more texts than its bucket says. Then the words of the fullest buckets are counted one by one, of as many
buckets as memory allows (Park, Chen and Yu, An effective hash-based algorithm for mining association rules, SIGMOD
1995; with one row of counters it is a count-min sketch). So what is kept is exact, and of the rest it is known in how
many texts each word is at most. Python's hash of a string differs from process to process: nobody can choose words
that share a bucket.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat

import numpy as np
from numpy.typing import NDArray

from sentiment.counts import TextCounts, Vocabulary

# Longer ones are named by their beginning and a hash: one text may be a single word.
MAXIMUM_WORD_CHARACTERS = 40
_HASH_CHARACTERS = 16
_BUCKETS = 1 << 23
_FULL = np.iinfo(np.uint16).max

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WordTexts:
    """In how many texts each word is.

    words: W words; texts: (W,), the number of texts that have each.
    rest_texts: every other word is in so many texts at most; rest_total: the sum of these numbers over all other words.
    """

    words: tuple[str, ...]
    texts: Integers
    rest_texts: int = 0
    rest_total: int = 0

    def strongest(self, most_words: int) -> "WordTexts":
        """Return the words that are in most texts, in the order that they have here; the others join the rest."""
        if len(self.words) <= most_words:
            return self
        kept = np.zeros(len(self.words), dtype=np.bool_)
        kept[np.argsort(-self.texts, kind="stable")[:most_words]] = True
        rest = self.texts[~kept]
        return WordTexts(
            tuple(compress(self.words, kept.tolist())),
            self.texts[kept],
            max(self.rest_texts, int(rest.max())),
            self.rest_total + int(rest.sum()),
        )


class WordCounter:
    """Counts some words in any case, and as many of the others as it may keep, those in most texts."""

    def __init__(self, always: Vocabulary, most_others: int) -> None:
        """Count the words of `always`, which texts are counted with, and `most_others` more."""
        self._always = always
        self._always_texts = np.zeros(len(always.words), dtype=np.int64)
        self._counted: Counter[str] = Counter()
        self._most = most_others
        self._total = 0
        self._buckets = np.zeros(0, dtype=np.uint16)  # none until they are needed
        self._least = 1

    @property
    def overflowed(self) -> bool:
        """Whether the other words were too many, so that all that was added must be added once more, by `recount`."""
        return len(self._buckets) > 0

    def add(self, counts: TextCounts) -> None:
        """Add further texts; raises ValueError where they were counted with other words than `always`."""
        words, texts = self._take_always(counts)
        if self.overflowed:
            self._fill(words, texts)
            return
        self._count(words, texts)
        if len(self._counted) > self._most:
            self._buckets = np.zeros(_BUCKETS, dtype=np.uint16)
            self._fill(*self._take_counted())

    def recount(self, counts: TextCounts) -> None:
        """Add, once more, what `add` got."""
        if self._least == 1:
            self._least = _least(self._buckets, self._most)
        words, texts = _named(counts.others), counts.word_texts()[len(self._always.words) :]
        full = self._buckets[_places(words)] >= self._least
        chosen = [word not in self._always.index for word in compress(words, full.tolist())]
        self._count([*compress(compress(words, full.tolist()), chosen)], texts[full][chosen])
        while len(self._counted) > self._most:
            self._least += 1
            full = self._buckets[_places([*self._counted])] >= self._least
            self._counted = Counter(dict(compress(self._counted.items(), full.tolist())))

    def result(self) -> WordTexts:
        """Return what was counted: the words to count in any case, even in 0 texts, then others."""
        words, texts = self._take_counted()
        rest_total = self._total - int(texts.sum()) if self.overflowed else 0
        texts = np.concatenate([self._always_texts, texts])
        return WordTexts((*self._always.words, *words), texts, self._least - 1, rest_total)

    def _take_always(self, counts: TextCounts) -> tuple[Sequence[str], Integers]:
        """Count the words that are counted in any case, and return the others by their names."""
        if counts.known is not self._always:
            raise ValueError("the texts were not counted with the words that are to be counted in any case")
        known, texts = len(self._always.words), counts.word_texts()
        self._always_texts += texts[:known]
        words, texts = counts.others, texts[known:]
        named = _named(words)
        if named is words:
            return words, texts
        # By its short name a long word may be one of them.
        places = np.fromiter(map(self._always.index.get, named, repeat(-1)), dtype=np.int64, count=len(named))
        other = places < 0
        self._always_texts[places[~other]] += texts[~other]
        return [*compress(named, other.tolist())], texts[other]

    def _count(self, words: Sequence[str], texts: Integers) -> None:
        self._counted.update(dict(zip(words, texts.tolist(), strict=True)))

    def _take_counted(self) -> tuple[Sequence[str], Integers]:
        words = [*self._counted]
        texts = np.fromiter(self._counted.values(), dtype=np.int64, count=len(words))
        self._counted.clear()
        return words, texts

    def _fill(self, words: Sequence[str], texts: Integers) -> None:
        places, entries = np.unique(_places(words), return_inverse=True)
        sums = self._buckets[places] + np.bincount(entries, texts)
        self._buckets[places] = np.minimum(sums, _FULL)
        self._total += int(texts.sum())


def short(word: str) -> str:
    """Return a word; one of more than 40 characters as its first 23, an ellipsis, which no word has, and a hash."""
    if len(word) <= MAXIMUM_WORD_CHARACTERS:
        return word
    digest = hashlib.blake2b(word.encode(), digest_size=_HASH_CHARACTERS // 2).hexdigest()
    return f"{word[: MAXIMUM_WORD_CHARACTERS - _HASH_CHARACTERS - 1]}…{digest}"


def _named(words: Sequence[str]) -> Sequence[str]:
    return words if max(map(len, words), default=0) <= MAXIMUM_WORD_CHARACTERS else [*map(short, words)]


def _places(words: Sequence[str]) -> Integers:
    """Return the bucket of each word."""
    return np.fromiter(map(hash, words), dtype=np.int64, count=len(words)) & (_BUCKETS - 1)


def _least(buckets: NDArray[np.uint16], most: int) -> int:
    """Return the least number that at most `most` buckets reach: with a smaller one too many words would be counted."""
    parts: Iterable[NDArray[np.uint16]] = np.array_split(buckets, 64)  # bincount takes 8 bytes for each of them
    holding = sum((np.bincount(part, minlength=_FULL + 1) for part in parts), np.zeros(_FULL + 1, dtype=np.int64))
    reaching = holding[::-1].cumsum()[::-1]
    return max(1, int(np.argmax(reaching <= most)))
