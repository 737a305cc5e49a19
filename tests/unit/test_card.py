"""The model card: what a manifest says, as Markdown that nothing in it can break."""

import msgspec
import pytest

from contracts.manifest import Calibration, Manifest, MovedWord
from sentiment.card import MOST_VERSIONS, PLOT_CHARACTERS, card
from sentiment.evaluation import evaluate
from sentiment.packing import pack
from sentiment.trainers.multinomial_nb import train
from tests.models import ABOUT

# Of the texts at 0.25 one of four is positive; of those at 0.9 a half.
METRICS = evaluate([-1.0986122886681098] * 4 + [2.1972245773362196] * 2, [1, 0, 0, 0, 1, 0])
MANIFEST = pack(
    train(["good film", "bad film"], [1, 0]),
    msgspec.structs.replace(ABOUT, metrics=METRICS, calibration=Calibration(2.0, 0.25)),
).manifest


def section(text: str, title: str) -> list[str]:
    return text.split(f"## {title}\n")[1].split("\n## ")[0].strip().splitlines()


def changed(**fields: object) -> Manifest:
    return msgspec.structs.replace(MANIFEST, **fields)


def test_it_says_what_the_model_is_and_how_good() -> None:
    found = card("v1", MANIFEST)
    assert found.startswith("# Model v1\n")
    for row in (
        "| trained at | 2026-01-02T03:04:05+00:00 |",
        "| data it began with | tests |",
        "| texts it was trained on | 1 negative, 1 positive |",
        "| words it knows | 3 |",
    ):
        assert row in found.splitlines()
    good = section(found, "How good it is")
    assert good[0] == "On 6 texts that it was not trained on it is right in **66.7%**."
    assert good[-2:] == ["| negative | 75.0% | 75.0% | 4 | 3 | 1 |", "| positive | 50.0% | 50.0% | 2 | 1 | 1 |"]


def test_the_plot_has_a_bar_for_what_is_positive_and_a_mark_for_what_is_said() -> None:
    lines = section(card("v1", MANIFEST), "What its probabilities mean")
    assert lines[0].startswith("Temperature 2, power 0.25; ")
    first, second = lines[-3:-1]
    quarter, half, said = PLOT_CHARACTERS // 4, PLOT_CHARACTERS // 2, round(0.9 * PLOT_CHARACTERS)
    assert first.split() == ["0.250", "#" * quarter + "|", "4"]
    assert second.split() == ["0.900", "#" * half, "|", "2"]
    assert second.index("|") - second.index("#") == said
    assert first.index("#") == second.index("#")


def test_without_a_holdout_it_says_that_nothing_is_known() -> None:
    found = card("v1", changed(metrics=None))
    assert section(found, "How good it is") == ["Not known: no labelled texts were kept out of training."]
    assert "probabilities mean" not in found


def test_the_line_of_versions_has_what_the_gate_said_of_each() -> None:
    parent = changed(metrics=None, reason=None)
    served = changed(labels=1_200, taken_back=["a"], reason="learned 1200 labels: not worse")
    assert section(card("v3", served, [("v1", None), ("v2", parent)]), "Where it comes from")[-3:] == [
        "| v1 | no longer kept |  |  |  |",
        "| v2 | 2026-01-02T03:04:05+00:00 | 0 |  |  |",
        "| v3 | 2026-01-02T03:04:05+00:00 | 1,200, 1 taken back | 66.7% | learned 1200 labels: not worse |",
    ]


def test_the_words_that_moved_most_stand_at_the_end() -> None:
    moved = changed(moved=[MovedWord("bore", 0.5, -1.25), MovedWord("zyx", 0.0, 0.75)])
    assert section(card("v1", moved), "What its last labels have changed")[-2:] == [
        "| bore | +0.500 | -1.250 |",
        "| zyx | +0.000 | +0.750 |",
    ]
    assert "What its last labels" not in card("v1", MANIFEST)


def test_of_a_long_line_the_last_versions_are_shown() -> None:
    line = section(card("v99", MANIFEST, [(f"v{number}", None) for number in range(99)]), "Where it comes from")
    assert line[0] == "Each version was learned from the one above it; 50 earlier ones are not shown."
    assert len(line) == 4 + MOST_VERSIONS
    assert line[-1].startswith("| v99 |")


@pytest.mark.parametrize(
    "words", ["a | b", "a\n| b", "<script>a", "[a](b)", "`a`", "![a](b)", "a \\| b", "*a*", "__a__"]
)
def test_no_words_of_a_manifest_become_markdown_or_html(words: str) -> None:
    found = card("v1", changed(data=words, reason=words))
    plain = card("v1", changed(data="words", reason="words"))
    assert len(found.splitlines()) == len(plain.splitlines())
    row = next(line for line in found.splitlines() if line.startswith("| data it"))
    escapes, kept = row.replace("\\\\", ""), "|<`*_["
    for character in kept:
        outside = escapes.replace(f"\\{character}", "")
        assert outside.count(character) == (3 if character == "|" else 0)
