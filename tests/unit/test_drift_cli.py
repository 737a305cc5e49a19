"""`python -m sentiment drift` gives the same report by hand."""

import csv
import json
import sys
from pathlib import Path

import msgspec
import pytest

from client.commandline import main
from contracts.manifest import MANIFEST, About
from sentiment.drift import Reference, Window, check
from sentiment.packing import pack
from tests.unit.drift_texts import MODEL, make_texts

REFERENCE_TEXTS = make_texts(400, 1)
WINDOW_TEXTS = make_texts(150, 2) + [f"battery {text}" for text in make_texts(50, 3)]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The command on a model, a CSV with labels and a JSONL without."""
    artifact = pack(MODEL, About(trained_at="now", trainer="test", data=None, examples=2))
    for name, content in artifact.parts.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / MANIFEST).write_bytes(artifact.manifest.to_bytes())
    with (tmp_path / "reference.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((text, "positive") for text in REFERENCE_TEXTS)])
    (tmp_path / "window.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in WINDOW_TEXTS))
    reference, window = str(tmp_path / "reference.csv"), str(tmp_path / "window.jsonl")
    return ["drift", "--model", str(tmp_path), "--reference", reference, "--window", window]


def test_json_is_the_report_of_a_check(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    reference = Reference.from_texts(REFERENCE_TEXTS, MODEL, [1] * len(REFERENCE_TEXTS))
    report = check(reference, Window.from_texts(WINDOW_TEXTS, MODEL))
    assert json.loads(capsys.readouterr().out) == msgspec.to_builtins(report)


def test_the_table_names_the_state_the_tests_and_the_words(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert output.startswith("drift: 200 texts against 400")
    assert "log_likelihood" in output
    assert "battery" in output


def test_too_few_texts_are_said_to_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--min-texts", "201"]) == 0
    assert capsys.readouterr().out.startswith("not-enough-data")


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot_is_drawn(arguments: list[str], tmp_path: Path, suffix: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    picture = tmp_path / f"drift.{suffix}"
    assert main([*arguments, "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(magic)


def test_a_plot_without_matplotlib_says_what_to_install(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)  # what Python itself does for a module that must not load
    monkeypatch.delitem(sys.modules, "sentiment.drift.plot", raising=False)
    assert main([*arguments, "--plot", str(tmp_path / "drift.png")]) == 1
    assert "sentiment-openfaas[plot]" in capsys.readouterr().err


def test_a_level_that_makes_no_sense_is_said_to_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--level", "1"]) == 1
    assert "--level" in capsys.readouterr().err
