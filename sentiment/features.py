"""What a model looks at in a text: its terms, which are single words, or sequences of words too."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sentiment.text import tokens

_TOKENS = re.compile(r"\w+|[!?]").findall


LONGEST_SEQUENCE = 3


def sequences(text: str) -> list[str]:
    r"""Return the different sequences of one to three words of `text`, each once; a space joins the words.

    A word is a maximal run of characters that match `\w` of a Unicode regular expression, single letters too, or one
    of `!` and `?`; the text is in lower case, and `<br />`, a line break of HTML, is a space.
    """
    return list(dict.fromkeys(chain.from_iterable(sequences_by_length(text))))


def sequences_by_length(text: str, longest: int = LONGEST_SEQUENCE) -> tuple[list[str], ...]:
    """Return the single words of `text`, the pairs, and so on to `longest`, each in order; one begins at each word."""
    words = _TOKENS(text.lower().replace("<br />", " "))
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
