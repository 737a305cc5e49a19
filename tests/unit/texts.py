"""Texts and corpora for property tests: a few words that meet often, mixed with anything that Unicode has."""

import string

from hypothesis import strategies as st

WORDS = (
    "good",
    "bad",
    "film",
    "don't",
    "café",
    "naïve",
    "ΣΊΣΥΦΟΣ",
    "İstanbul",
    "straße",
    "42",
    "a",
    "٣٤",
    "中文",
    "e_mail",
)
SEPARATORS = (" ", "\n", "\t", "\x1c", "\x00", "\u00a0", "—", "…", "“", "”", "’", "🙂", "<br />", "-", ". ", "")

TEXTS = st.one_of(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SEPARATORS)).map("".join), max_size=12).map("".join),
    st.text(max_size=60),
)
ASCII_TEXTS = st.text(alphabet=st.characters(max_codepoint=127), max_size=80) | st.text(
    alphabet=string.ascii_letters + string.punctuation + string.whitespace, max_size=80
)
LABELLED = st.tuples(TEXTS, st.sampled_from((0, 1)))
# Training needs both labels and a word; the two texts that see to it take part like any other.
CORPORA = st.lists(LABELLED, max_size=12).map(lambda more: [("good film", 1), ("bad film", 0), *more])
