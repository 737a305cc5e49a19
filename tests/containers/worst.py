"""The worst texts that are accepted: 100,000 characters, words that no other text has, a label that can be learned."""

MAX_CHARACTERS = 100_000
_PLANE = [chr(0x20000 + number) for number in range(20_000)]


def ascii_text(number: int) -> str:
    """14,283 words of six characters, after one that says the class of the text."""
    first = number * 14_283
    return f"class{number % 2} " + " ".join(f"{n:06x}" for n in range(first, first + 14_283))


def four_byte_text(number: int) -> str:
    """33,330 words of two characters of four bytes each, after one that says the class of the text."""
    first = number * 33_330
    words = (_PLANE[n // 20_000] + _PLANE[n % 20_000] for n in range(first, first + 33_330))
    return f"class{number % 2} " + " ".join(words)
