"""What a model looks at in a text: its terms, which are single words, or sequences of words too."""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sentiment.text import tokens

LONGEST_SEQUENCE = 3

_WORD = re.compile(r"\w+|[!?]")
# Of ASCII texts in lower case, nearly all, translating takes a third of the time of the regular expression.
_KEPT = f"{string.ascii_lowercase}{string.digits}_!?".encode()
_KEPT_OR_SPACE = bytes(each if each in _KEPT else ord(" ") for each in range(256))


def sequence_words(text: str) -> list[str]:
    r"""Return the words of `text` of which sequences are made, in order.

    A word is a maximal run of characters that match `\w` of a Unicode regular expression, single letters too, or one
    of `!` and `?`; the text is in lower case, and `<br />`, a line break of HTML, is a space.
    """
    text = text.lower().replace("<br />", " ")
    if text.isascii():
        return text.replace("!", " ! ").replace("?", " ? ").encode().translate(_KEPT_OR_SPACE).decode().split()
    return _WORD.findall(text)


def sequences(text: str) -> list[str]:
    """Return the different sequences of one to three words of `text`, each once; a space joins the words."""
    return sequences_of(sequence_words(text))


def sequences_of(words: list[str]) -> list[str]:
    """Return the different sequences of one to three of these words."""
    return list(dict.fromkeys(chain.from_iterable(sequences_by_length(words))))


def sequences_by_length(words: list[str], longest: int = LONGEST_SEQUENCE) -> tuple[list[str], ...]:
    """Return the single words, the pairs, and so on to `longest`, each in order; one begins at each word."""
    lengths = [words]
    for length in range(1, longest):
        # The last sequences are too short to have one more word: here zip ends.
        lengths.append([f"{begin} {word}" for begin, word in zip(lengths[-1], words[length:], strict=False)])
    return tuple(lengths)


@dataclass(frozen=True)
class Features:
    """A way to look at texts, by the name that manifests have for it.

    terms: from a text to what may be its terms, those of fewer than `least_characters` included, which are none.
    come_again: whether other texts have many of the same, so that it pays to remember what was looked up.
    """

    name: str
    terms: Callable[[str], Sequence[str]]
    least_characters: int = 1
    come_again: bool = True


WORDS = Features("words", tokens, least_characters=2)
"""Words, as often as a text has them: see sentiment.text."""
SEQUENCES = Features("sequences", sequences, come_again=False)
"""Whether a text has a sequence of one to three words."""
_FEATURES: Mapping[str, Features] = {features.name: features for features in (WORDS, SEQUENCES)}


def features_named(name: str) -> Features:
    """Return the features of that name; raises ValueError where this release has none."""
    if name not in _FEATURES:
        raise ValueError(f"it looks at {name!r} in a text, which this release does not know")
    return _FEATURES[name]


def is_word(term: str) -> bool:
    """Tell whether a term is a single word."""
    return " " not in term
