"""The texts of generate-drift: of four kinds, varied, in English, the same for the same seed."""

import re
from collections import Counter
from itertools import islice

from functions.generate_drift.generator import KINDS, make_texts
from sentiment.text import words

# The words that no English text of some length does without.
ENGLISH = frozenset(words("the an of to in and with for is it by on from at that until as after are"))


def made(count: int, seed: int) -> list[tuple[str, str]]:
    return list(islice(make_texts(seed), count))


def test_the_same_seed_makes_the_same_texts_and_another_makes_others() -> None:
    assert made(200, seed=5) == made(200, seed=5)
    assert made(5, seed=5) == made(200, seed=5)[:5]
    assert not {text for text, _ in made(200, seed=5)} & {text for text, _ in made(200, seed=6)}


def test_all_kinds_come_about_equally_often() -> None:
    counts = Counter(kind for _, kind in made(2_000, seed=1))
    assert counts.keys() == KINDS.keys()
    assert min(counts.values()) > 400


def test_texts_are_varied() -> None:
    texts = [text for text, _ in made(5_000, seed=2)]
    assert len(set(texts)) == len(texts)
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.?]) ", text)]
    assert len(set(sentences)) > 0.5 * len(sentences)
    assert len({word for text in texts for word in words(text) if word.isalpha()}) > 500


def test_texts_are_english_sentences_with_nothing_of_the_grammar_left_in_them() -> None:
    for text, _ in made(2_000, seed=3):
        assert text.isascii() or "é" in text
        assert not re.search(r"[{}|\n]|  ", text)
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert len(words(text)) >= 15
        assert len(ENGLISH & set(text.lower().split())) >= 2, text


def test_kinds_share_few_of_their_own_words() -> None:
    vocabularies: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for text, kind in made(2_000, seed=4):
        vocabularies[kind].update(word for word in words(text) if word.isalpha())
    for kind, vocabulary in vocabularies.items():
        elsewhere = set().union(*(others for other, others in vocabularies.items() if other != kind))
        assert len(vocabulary - elsewhere) > 0.4 * len(vocabulary)
