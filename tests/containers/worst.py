"""The worst texts that are accepted: 100,000 characters, words that no other text has, a label that can be learned."""

from itertools import product
from string import ascii_lowercase, digits

MAX_CHARACTERS = 100_000
_TRIPLES = ["".join(characters) for characters in product(digits + ascii_lowercase, repeat=3)]
_PLANE = [chr(0x20000 + number) for number in range(20_000)]


def ascii_text(number: int) -> str:
    """14,283 words of six characters, after one that says the class of the text; `number` is at most 152,000."""
    first = number * 14_283
    words = (_TRIPLES[n // len(_TRIPLES)] + _TRIPLES[n % len(_TRIPLES)] for n in range(first, first + 14_283))
    return f"class{number % 2} " + " ".join(words)


def four_byte_text(number: int) -> str:
    """33,330 words of two characters of four bytes each, after one that says the class of the text."""
    first = number * 33_330
    words = (_PLANE[n // 20_000] + _PLANE[n % 20_000] for n in range(first, first + 33_330))
    return f"class{number % 2} " + " ".join(words)
