"""A small model and texts that are made up of its words, for the tests of drift."""

import numpy as np

from sentiment.model import Model

WORDS = tuple(sorted(f"word{number:03}" for number in range(400)))
# Zipf's law: the shares of words in any language.
SHARES = 1 / np.arange(1, len(WORDS) + 1)
_COUNTS = np.random.default_rng(7).poisson(2000 * SHARES, (2, len(WORDS)))
MODEL = Model(WORDS, (_COUNTS + 1).astype(np.float64), np.ones(2))


def make_texts(number: int, seed: int, *, words: tuple[str, ...] = WORDS) -> list[str]:
    """Return texts of 20 to 80 words drawn from `words`, the first ones most often."""
    random = np.random.default_rng(seed)
    shares = SHARES[: len(words)] / SHARES[: len(words)].sum()
    return [" ".join(random.choice(words, random.integers(20, 81), p=shares)) for _ in range(number)]
