"""`python -m sentiment` as people run it: train, evaluate, predict; one clear line where something is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from client.commands.folders import load_model, load_scorer
from contracts.codec import to_document
from sentiment.trainers.multinomial_nb import train
from tests.models import equal

ROOT = Path(__file__).parents[2]
TEXTS = ["A good film", "good, good fun", "splendid film", "A bad film", "bad “plot”", "awful awful plot"]
LABELS = [1, 1, 1, 0, 0, 0]
COMMAND = (sys.executable, "-m", "sentiment")


def run(*arguments: str | Path, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the command line as a process; its output is UTF-8."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """Assert that the command failed with one line that says why."""
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("python -m sentiment: ")
    assert re.search(message, done.stderr), done.stderr


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = "".join(f'"{text}",{label}\n' for text, label in zip(TEXTS, LABELS, strict=True))
    path.write_text(f"text,label\n{rows}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(csv_file: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A model's folder, two folders deep that were not there, and what `train` printed."""
    folder = csv_file.parent / "models" / "first"
    return folder, run("train", "--data", csv_file, "--output", folder)


@pytest.fixture(scope="module")
def model(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    return trained[0]


def test_train_says_its_data_first_and_writes_the_model(
    trained: tuple[Path, subprocess.CompletedProcess[str]], csv_file: Path
) -> None:
    folder, done = trained
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first == f"training data: {csv_file}"
    assert last == f"trained on 6 texts, 7 words: {folder}"
    assert equal(load_model(folder), train(TEXTS, LABELS))


def test_train_keeps_a_holdout_and_measures_on_it(csv_file: Path, tmp_path: Path) -> None:
    done = run("train", "--data", csv_file, "--output", tmp_path, "--holdout", "0.34")
    assert done.returncode == 0, done.stderr
    assert re.search(r"trained on 4 texts, \d words: .*\naccuracy on the 2 texts held out: \d+\.\d%\n", done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.json",
        "model.npz",
        "table.trie",
        "table.weights",
        "holdout.npz",
        "reference.npz",
    }


def test_evaluate_prints_json(model: Path, csv_file: Path) -> None:
    done = run("evaluate", "--model", model, "--data", csv_file, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["texts"] == 6
    assert figures["accuracy"] == 1.0
    assert figures["confusion"] == [[3, 0], [0, 3]]
    assert figures["positive"] == {"precision": 1.0, "recall": 1.0, "texts": 3}
    assert 0 < figures["log_loss"] < 0.5
    assert sum(found["texts"] for found in figures["calibration"]) == 6


def test_evaluate_prints_a_table(model: Path, csv_file: Path) -> None:
    done = run("evaluate", "--model", model, "--data", csv_file)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("6 texts, accuracy 100.00%, log loss 0.")
    assert lines[2].split() == ["precision", "recall", "texts", "predicted", "negative", "predicted", "positive"]
    assert lines[3].split() == ["negative", "100.00%", "100.00%", "3", "3", "0"]
    assert lines[4].split() == ["positive", "100.00%", "100.00%", "3", "0", "3"]
    assert lines[6] == "probability of positive    share positive    texts"
    assert sum(int(line.split()[-1]) for line in lines[7:]) == 6


def test_predict_answers_a_line_of_text_with_a_line_of_json(model: Path) -> None:
    texts = ["A good film", "", "awful “plot”", "unknown words", "good\tfun "]
    done = run("predict", "--model", model, stdin="\n".join(texts))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        *map(to_document, map(load_scorer(model).score, texts))
    ]


def test_predict_reads_jsonl_where_the_first_line_is_an_object(model: Path) -> None:
    lines = ['{"text": "A good\\nfilm", "id": 1}', "", '{"text": "awful", "label": 0}', '{"text": ""}']
    done = run("predict", "--model", model, stdin="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["prediction"] for line in done.stdout.splitlines()] == ["positive", "negative", "negative"]


def test_predict_without_input_answers_nothing(model: Path) -> None:
    done = run("predict", "--model", model)
    assert (done.returncode, done.stdout) == (0, "")


def test_predict_names_the_line_that_is_wrong(model: Path) -> None:
    refused(run("predict", "--model", model, stdin='{"text": "good"}\nbad\n'), "<stdin>, line 2: not JSON")


def test_predict_refuses_what_is_not_utf8(model: Path) -> None:
    refused(run("predict", "--model", model, stdin="café\n".encode("latin-1")), "<stdin>: not UTF-8")


@pytest.mark.parametrize("texts", [1, 100_000], ids=["at the end", "in the middle"])
def test_a_reader_that_goes_away_ends_predict_without_a_word(model: Path, texts: int) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "predict", "--model", str(model)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        os.close(reader)
        _, errors = process.communicate(b"good film\n" * texts, timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_a_reader_that_goes_away_ends_evaluate_without_a_word(model: Path, csv_file: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "evaluate", "--model", str(model), "--data", str(csv_file)],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        os.close(reader)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_paths_that_are_not_there_are_told_in_a_line(model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    refused(run("train", "--data", missing, "--output", tmp_path / "out"), r"missing\.csv: no such file; give imdb")
    assert not (tmp_path / "out").exists()
    refused(run("evaluate", "--model", model, "--data", missing), r"missing\.csv: no such file")
    refused(run("evaluate", "--model", missing, "--data", missing), "not a model's folder .*; make one with `train")
    refused(run("predict", "--model", tmp_path), "not a model's folder")


def test_an_output_that_can_not_be_written_is_told_in_a_line(csv_file: Path) -> None:
    refused(run("train", "--data", csv_file, "--output", csv_file), "the model can't be written")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,label\na,1\nb,0\n", [], "no model can be trained on its texts: empty vocabulary"),
        ("text,label\ngood,1\nbad,0\n", ["--holdout", "0.9"], "no model can be trained"),
        ("text,label\ngood,1\nfine,1\n", [], "texts of both labels are needed"),
        ("text,label\ngood,1\nbad,0\n", ["--holdout", "1.5"], "--holdout must be from 0 to less than 1"),
    ],
)
def test_data_that_give_no_model_are_told_in_a_line(
    content: str, options: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    refused(run("train", "--data", path, "--output", tmp_path / "out", *options), message)
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_told_in_a_line(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "model.npz").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.npz").write_bytes(content)
    refused(run("predict", "--model", tmp_path, stdin="good\n"), r"model\.npz has another SHA-256")
    (tmp_path / "model.npz").unlink()
    refused(run("predict", "--model", tmp_path, stdin="good\n"), r"model\.npz")
    (tmp_path / "manifest.json").write_text('{"format": 2, "parts": {}}')
    refused(run("predict", "--model", tmp_path, stdin="good\n"), "missing required field")


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("sentiment train", "tqdm", "train"),
        ("sentiment ask", "rich", "client"),
        ("bridge", "pika", "bridge"),
        ("bridge.client", "pika", "bridge"),
        ("functions.predict", "httptools", "functions"),
        ("functions.retrain", "sklearn", "train"),
        ("functions.drift", "scipy", "drift"),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(
    command: str, missing: str, extra: str, tmp_path: Path
) -> None:
    # A finder that finds everything but that module, as in an environment without the extra.
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == {missing!r} else super().find_spec(name, path, target)
sys.meta_path[-1] = Finder
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    says = f"{missing} is not installed: pip install 'sentiment-openfaas[{extra}]' brings it\n"
    assert (done.returncode, done.stderr) == (2, says)


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["train"], ["predict"], ["train", "--data", "x", "--holdout", "y"]]
)
def test_wrong_usage_exits_with_2_and_says_the_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m sentiment")
