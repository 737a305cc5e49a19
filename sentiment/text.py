r"""Labelled texts; and text to words: lower case, punctuation removed, words of two characters or more.

Exactly:

* *Lower case* is `str.lower`.
* *Punctuation* is the 32 characters of `string.punctuation` (ASCII). Each is removed, not replaced by a
  space, so `don't` becomes `dont` and `<br />` becomes `br`.
* A *word* is a maximal run of two or more characters that match `\w` of a Unicode regular expression:
  letters with or without accents, digits. All else separates words: white space, typographic quotes and
  dashes, emoji. Typographic punctuation is not removed, so `don’t` with a typographic apostrophe gives
  `don` (its `t` is too short to be a word).

This equals `CountVectorizer(preprocessor=remove_punctuation)` of scikit-learn with its default token
pattern, which a property test holds it to.
"""

import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_WORD = re.compile(r"\w\w+")
# ASCII texts, nearly all, need no regular expression: once punctuation is gone, all that is left besides
# letters and digits is white space and control characters; bytes.translate makes those white space too.
_CONTROL = bytes(range(32)) + b"\x7f"
_TO_LOWER_OR_SPACE = bytes.maketrans(
    string.ascii_uppercase.encode() + _CONTROL, string.ascii_lowercase.encode() + b" " * len(_CONTROL)
)
_PUNCTUATION = string.punctuation.encode()


@dataclass(frozen=True)
class Corpus:
    """Labelled texts, each 0 negative or 1 positive, and where they came from."""

    name: str
    texts: list[str]
    labels: list[int]


def remove_punctuation(text: str) -> str:
    """Return `text` in lower case without ASCII punctuation."""
    # Of UTF-8, bytes below 128 are ASCII characters and nothing else; str.translate takes 15 times as long.
    encoded = text.lower().encode("utf-8", "surrogatepass")
    return encoded.translate(None, _PUNCTUATION).decode("utf-8", "surrogatepass")


def tokens(text: str) -> list[str]:
    """Return what may be words of `text`, in order: `words(text)` and perhaps single characters.

    Single characters are in no vocabulary, so whoever only looks words up is spared the filter.
    """
    if text.isascii():
        return text.encode().translate(_TO_LOWER_OR_SPACE, _PUNCTUATION).decode().split()
    return _WORD.findall(remove_punctuation(text))


def words(text: str) -> list[str]:
    """Return the words of `text`, in order, repeats included."""
    return [token for token in tokens(text) if len(token) > 1]


def batches(texts: Iterable[tuple[str, T]], most: int, most_characters: int) -> Iterator[list[tuple[str, T]]]:
    """Yield texts, and what comes with each, `most` at a time, or fewer: those that make up `most_characters`."""
    batch: list[tuple[str, T]] = []
    characters = 0
    for text, other in texts:
        batch.append((text, other))
        characters += len(text)
        if len(batch) == most or characters > most_characters:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
