"""What "punctuation" and "word" mean."""

import pytest
from hypothesis import given, settings
from sklearn.feature_extraction.text import CountVectorizer

from sentiment.text import remove_punctuation, tokens, words
from tests.unit.texts import ASCII_TEXTS, TEXTS

ANALYZER = CountVectorizer(preprocessor=remove_punctuation).build_analyzer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I LOVE This Film", ["love", "this", "film"]),
        ("", []),
        ("a", []),
        ("a b c", []),
        ("é", []),
        (" \t\r\n\v\f ", []),
        ("!?.,;:", []),
        ("don't", ["dont"]),
        ("well-made", ["wellmade"]),
        ("e_mail __init__", ["email", "init"]),
        ("one.two", ["onetwo"]),
        ("$5 100% #1 3.14", ["100", "314"]),
        ("a.b", ["ab"]),  # removing, not replacing, may make a word of letters
        ("good<br /><br />bad", ["goodbr", "br", "bad"]),
        ("good <br> bad", ["good", "br", "bad"]),
    ],
)
def test_ascii_punctuation_is_removed_and_words_have_two_characters(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“quoted”", ["quoted"]),
        ("don’t", ["don"]),
        ("they’re", ["they", "re"]),
        ("good—bad", ["good", "bad"]),
        ("good–bad", ["good", "bad"]),
        ("wait…what", ["wait", "what"]),
        ("¡hola!", ["hola"]),
        ("good🙂bad", ["good", "bad"]),
        ("👩‍👩‍👧", []),
        ("good\u00a0bad\u2003film", ["good", "bad", "film"]),
        ("good\u200bbad", ["good", "bad"]),  # a zero-width space is no word character
    ],
)
def test_typographic_punctuation_and_emoji_separate_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Café NAÏVE", ["café", "naïve"]),
        ("Über STRASSE straße", ["über", "strasse", "straße"]),
        ("cafe\u0301s", ["cafe"]),  # a combining accent is no word character: texts are not normalised
        ("中文电影", ["中文电影"]),
        ("ΣΊΣΥΦΟΣ", ["σίσυφος"]),  # lower case knows the sigma at a word's end
        ("٣٤ 42", ["٣٤", "42"]),
    ],
)
def test_letters_with_accents_and_digits_of_any_script_make_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("control", [chr(code) for code in (*range(32), 127)])
def test_control_characters_separate_words(control: str) -> None:
    assert words(f"good{control}bad") == ["good", "bad"]
    assert words(f"gööd{control}bad") == ["gööd", "bad"]


def test_repeats_stay_in_order() -> None:
    assert words("bad good Bad bad") == ["bad", "good", "bad", "bad"]


@pytest.mark.parametrize("text", ["good ", "a", "ab", "’", "<br />", "é ", "🙂", "\x00"])
def test_texts_of_a_hundred_thousand_characters_are_read_whole(text: str) -> None:
    long = text * (100_000 // len(text))
    assert words(long) == ANALYZER(long)


@settings(max_examples=300, deadline=None)
@given(TEXTS | ASCII_TEXTS)
def test_words_are_those_of_scikit_learns_analyzer(text: str) -> None:
    assert words(text) == ANALYZER(text)


@settings(max_examples=300, deadline=None)
@given(ASCII_TEXTS)
def test_ascii_texts_take_a_shorter_path_to_the_same_words(text: str) -> None:
    # A character that is neither ASCII nor part of a word sends the same text down the general path.
    assert words(text) == words(f"{text} —")


@settings(max_examples=200, deadline=None)
@given(TEXTS | ASCII_TEXTS)
def test_tokens_are_the_words_and_perhaps_single_characters(text: str) -> None:
    assert [token for token in tokens(text) if len(token) != 1] == words(text)
