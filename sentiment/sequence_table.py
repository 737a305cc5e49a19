"""The sequences of a text, all looked up at once: a word is a number, a sequence one integer, and NumPy finds them.

Measured on the 511,223 terms of the IMDB model: a median review, of 499 terms, takes 0.25 ms of processor time by
sentiment.table and 0.05 here, or 0.32 and 0.07 to 0.08 where each review is another one. Predict takes 35 MB more, 16
of them for NumPy, which it does not load for other models.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from itertools import count, repeat
from random import Random

import numpy as np
from numpy.typing import NDArray

from sentiment.features import LONGEST_SEQUENCE, sequence_words, sequences_of
from sentiment.table import Table

Keys = NDArray[np.uint64]
Slots = NDArray[np.int64]

FEWEST_WORDS = 10
"""Of fewer, the table finds the sequences sooner: a call of NumPy takes as long as several look-ups."""
WORD_BITS = 21
SLOTS_PER_TERM = 2.3
"""Below two, not all terms find a slot; the more there are, the sooner they do, and the more memory is taken."""
MOST_ROUNDS = 1_000
ATTEMPTS = 16
_BITS = np.uint64(WORD_BITS)
_NO_KEY = 2**64 - 1  # larger than all keys, which have LONGEST_SEQUENCE * WORD_BITS = 63 bits


def pack_sequences(terms: Iterable[str]) -> bytes:
    """Return the keys of terms in their order, little-endian uint64, and then all words that they have, a line each.

    A word's number is that of its line, from 1 on; the key of a term is the numbers of its words, WORD_BITS each.
    Raises ValueError for a term of more than LONGEST_SEQUENCE words, and where there are too many words.
    """
    numbers = defaultdict[str, int](count(1).__next__)
    keys = array("Q")
    for term in terms:
        words = term.split(" ")
        if len(words) > LONGEST_SEQUENCE:
            raise ValueError(f"{term!r} has more than {LONGEST_SEQUENCE} words")
        key = 0
        for word in words:
            key = key << WORD_BITS | numbers[word]
        keys.append(key)
        if numbers[word] >> WORD_BITS:
            raise ValueError(f"the terms have more than {2**WORD_BITS - 1} different words")
    return np.array(keys, dtype="<u8").tobytes() + "\n".join(numbers).encode()


class SequenceTable:
    """Numbers of sequences, exact, read-only.

    By cuckoo hashing (Pagh and Rodler, 2004): a term is in one of its two slots, which holds its whole key, so that
    nothing else is taken for it.
    """

    def __init__(self, table: Table, packed: bytes) -> None:
        """Take the terms of `table`, which `pack_sequences` was given in its order; raises ValueError for others."""
        keys = np.frombuffer(packed[: 8 * len(table)], dtype="<u8").astype(np.uint64)
        if len(keys) != len(table):
            raise ValueError(f"there are {len(keys)} keys for {len(table)} terms")
        words = packed[keys.nbytes :].decode().split("\n")
        self._number_of = dict(zip(words, range(1, len(words) + 1), strict=True)).get
        self._find = table.find
        weights = np.array(table.weights)
        some = weights != 0
        keys, weights = keys[some], weights[some]
        self._half = np.uint64(len(keys) * SLOTS_PER_TERM / 2 + 1)
        slots = self._place(keys)
        self._keys = np.full(2 * int(self._half), _NO_KEY, dtype=np.uint64)
        self._keys[slots] = keys
        self._weights = np.zeros(len(self._keys))
        self._weights[slots] = weights

    def weights(self, text: str) -> list[float]:
        """Return the numbers of the sequences of `text`, each sequence once, without those that are 0."""
        words = sequence_words(text)
        if len(words) < FEWEST_WORDS:
            return [*filter(None, map(self._find, sequences_of(words)))]
        keys = self._keys_of(words)
        keys.sort()
        different = keys[:-1][keys[1:] != keys[:-1]]  # the last is _NO_KEY
        slots = self._slots_of(different)
        found: list[float] = self._weights.take(slots[self._keys.take(slots) == different]).tolist()
        return found

    def _keys_of(self, words: list[str]) -> Keys:
        """Return the keys of all sequences, and _NO_KEY.

        A word that no term has is 0. Where a sequence begins with it, the key is that of the other words, which are a
        sequence of the text as well; where it stands further behind, that of nothing.
        """
        longest = np.fromiter(map(self._number_of, words, repeat(0)), dtype=np.uint64, count=len(words))
        keys = [longest]
        for length in range(1, LONGEST_SEQUENCE):
            longest = longest[:-1] << _BITS | keys[0][length:]
            keys.append(longest)
        return np.concatenate((*keys, (_NO_KEY,)), dtype=np.uint64)

    def _slots_of(self, keys: Keys) -> Slots:
        """Return the two slots of each key, (2, V), of which one is in each half of the table.

        They are the upper bits of two products, scaled (Lemire, Fast Random Integer Generation in an Interval, 2019).
        """
        slots = keys * self._multipliers  # overflows, as it should
        slots >>= 32
        slots *= self._half
        slots >>= 32
        slots[1] += self._half
        return slots.view(np.int64)

    def _place(self, keys: Keys) -> Slots:
        """Return a slot for each key, and keep the multipliers by which there is one; raises ValueError."""
        for attempt in range(ATTEMPTS):
            random = Random(attempt)  # noqa: S311  # spreads keys, guards nothing
            self._multipliers = np.array([[random.getrandbits(64) | 1] for _ in range(2)], dtype=np.uint64)
            chosen = _one_each(self._slots_of(keys))
            if chosen is not None:
                return chosen
        raise ValueError("there are terms of the same key")


def _one_each(slots: Slots) -> Slots | None:
    """Choose one of the two slots of each key, (2, V), so that no two have the same; None where that takes too long.

    In each round, all that have none take theirs, of several in one slot the last; who was there goes to its other one.
    """
    holder = np.full(slots.max(initial=0) + 1, -1)
    which = np.zeros(slots.shape[1], dtype=np.int8)
    without = np.arange(slots.shape[1])
    for _ in range(MOST_ROUNDS):
        if not len(without):
            chosen: Slots = np.where(which, slots[1], slots[0])
            return chosen
        wanted = slots[which[without], without]
        before = holder[wanted]
        holder[wanted] = without
        has = holder[wanted] == without
        evicted = before[has]
        without = np.concatenate((without[~has], evicted[evicted >= 0]))
        which[without] ^= 1
    return None
