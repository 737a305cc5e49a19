"""`python -m sentiment explain`: the words that decided, in colour at a terminal, exact as JSON."""

import errno
import json
import math
import os
import pty
import subprocess
from pathlib import Path

import pytest

from client.commands.folders import load_scorer, save_artifact
from client.commands.showing import GREEN, NO_COLOUR, RED, SHOWN_WORDS, describe
from contracts.predict import Answer, Contribution
from deploy import ports
from sentiment.packing import pack
from sentiment.trainers.multinomial_nb import train
from tests.models import ABOUT
from tests.project import ROOT
from tests.unit.test_cli import COMMAND, refused, run

TEXT = "A café film: good, good, bad"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_artifact(pack(train(["good film café", "bad film", "bad plot"], [1, 0, 0]), ABOUT), folder)
    return folder


def test_as_json_the_words_and_the_bias_add_up_to_the_log_odds(model: Path) -> None:
    texts = [TEXT, "", "unknown alone", "good " * 5_000, *(f"{TEXT} {word}" for word in ["good", "bad", "plot", "42"])]
    done = run("explain", "--model", model, "--json", *texts)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    scorer = load_scorer(model)
    for text, answer in zip(texts, answers, strict=True):
        total = math.fsum([answer["bias"], *(word["log_odds"] for word in answer["words"])])
        assert total == pytest.approx(answer["log_odds"], rel=0, abs=1e-9)
        assert answer["log_odds"] == scorer.score(text).log_odds


def test_for_people_there_is_a_line_a_word_the_strongest_first(model: Path) -> None:
    done = run("explain", "--model", model, TEXT)
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines, last = done.stdout.splitlines()
    scorer = load_scorer(model)
    assert first.startswith(f"{scorer.score(TEXT).prediction}, probability 0.")
    assert [line.split() for line in lines] == [[f"{word.log_odds:+.3f}", word.word] for word in scorer.explain(TEXT)]
    assert last == f"{scorer.bias:+9.3f}  what every text begins with"
    assert "\x1b" not in done.stdout


def test_each_of_many_texts_stands_above_its_words(model: Path) -> None:
    done = run("explain", "--model", model, "good", "bad")
    assert [lines.splitlines()[0] for lines in done.stdout.split("\n\n")] == ["good", "bad"]


def test_words_for_positive_are_green_and_those_for_negative_red() -> None:
    answer = Answer("positive", 0.7, 1.0, [Contribution("good", 2.0), Contribution("bad", -1.5)], 0.5)
    assert describe(answer, in_colour=True).splitlines()[1:] == [
        f"   +2.000  {GREEN}good{NO_COLOUR}",
        f"   -1.500  {RED}bad{NO_COLOUR}",
        "   +0.500  what every text begins with",
    ]


def test_of_a_long_text_the_weaker_words_are_added_up() -> None:
    words = [Contribution(f"word{number}", 1.0) for number in range(SHOWN_WORDS + 3)]
    lines = describe(Answer("positive", 0.9, 23.5, words, 0.5), in_colour=False).splitlines()
    assert len(lines) == 1 + SHOWN_WORDS + 2
    assert lines[-2:] == ["   +3.000  3 other words", "   +0.500  what every text begins with"]


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_whose_user_has_not_refused_them(model: Path, no_colour: str, coloured: bool) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "explain", "--model", str(model), "good"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": no_colour},
        stdout=follower,
    ) as process:
        os.close(follower)
        output = read_all(leader)
        os.close(leader)
    assert process.returncode == 0
    assert b"good" in output
    assert (GREEN.encode() in output) == coloured


def read_all(terminal: int) -> bytes:
    """Read a terminal until nobody writes to it any more, which Linux says by an error."""
    output = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return output
        if not piece:
            return output
        output += piece


def test_a_word_that_the_terminal_cannot_show_ends_nothing(model: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "explain", "--model", str(model), TEXT],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "caf?" in done.stdout


def test_without_a_model_it_says_which_there_could_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", "")
    done = subprocess.run(
        [*COMMAND, "explain", "good"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    refused(done, "which model\\? Say --model DIR or GATEWAY_URL; no local stack is here")


def test_a_predict_that_is_not_there_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEWAY_URL", f"http://127.0.0.1:{ports.free_port()}")
    refused(run("explain", "good"), "predict can't be reached: .*refused.* Is http://127")
    refused(run("explain", "--model", tmp_path, "good"), "not a model's folder")
