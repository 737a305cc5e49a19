"""`python -m sentiment compare`: every trainer on the same texts, measured on texts that none of them has seen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sentiment.trainers import TRAINERS
from tests.project import ROOT


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentiment", "compare", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred texts whose words are the same in both classes: only their order tells them apart."""
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [f"not bad but good number {n},1\nnot good but bad number {n},0\n" for n in range(100)]
    path.write_text("text,label\n" + "".join(rows))
    return path


def test_each_trainer_has_a_line_and_sequences_tell_what_words_can_not(reviews: Path, tmp_path: Path) -> None:
    picture = tmp_path / "compared.svg"
    done = run("--data", reviews, "--plot", picture)
    assert done.returncode == 0, done.stderr
    first, _, heads, *rows = done.stdout.splitlines()
    assert first == "on 20 texts that no model has seen"
    assert heads.split() == [
        "trainer",
        "accuracy",
        "log",
        "loss",
        "calibration",
        "error",
        "terms",
        "served",
        "median",
        "text",
    ]
    accuracy = {row.split()[0]: row.split()[1] for row in rows}
    assert accuracy == {"multinomial-nb": "50.00%", "nb-logistic": "100.00%"}
    drawn = picture.read_text()
    assert drawn.startswith("<?xml")
    assert all(f"<!-- {name} -->" in drawn for name in TRAINERS)


def test_figures_come_as_json_of_texts_that_are_named(reviews: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "not bad but good", "label": 1}\n{"text": "not good but bad", "label": 0}\n')
    done = run("--data", reviews, "--test", test, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["trainer"] for each in found] == [*TRAINERS]
    for each in found:
        assert each["metrics"]["texts"] == 2
        assert each["version_bytes"] > each["served_bytes"] > 8 * each["terms"]
        assert each["microseconds"] > 0


def test_too_few_texts_to_measure_on_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("text,label\ngood,1\nbad,0\n")
    done = run("--data", path)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"python -m sentiment: {path}: too few texts to keep some for the measurement; name others with --test\n"
    )


def test_texts_that_a_trainer_can_not_learn_are_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "alike.csv"
    path.write_text("text,label\n" + "".join(f"good{n} fine{n},1\nbad{n} poor{n},0\n" for n in range(10)))
    done = run("--data", path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"python -m sentiment: {path}: nb-logistic can't be trained on its texts: no word is in 3"
    )


def test_a_picture_of_an_unknown_kind_is_refused(reviews: Path, tmp_path: Path) -> None:
    done = run("--data", reviews, "--plot", tmp_path / "compared.doc")
    assert done.returncode == 1
    assert "can't be written" in done.stderr
