"""The imports are those of the drawing in docs/architecture.md, and a line that breaks it is found."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS: list[str] = CONFIGURATION["root_packages"]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--config", "pyproject.toml", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_imports_are_those_of_the_drawing() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("contracts/limits.py", "import sentiment.text"),
        ("sentiment/text.py", "import datasets.files"),
        ("datasets/files.py", "import process.settings"),
        ("process/backoff.py", "import records.mongo"),
        ("records/mongo.py", "import model_store.layout"),
        ("messages/ports.py", "import records.mongo"),
        ("model_store/layout.py", "import functions.predict.app"),
        ("bridge/settings.py", "import functions.predict.service"),
        ("functions/predict/service.py", "import functions.retrain.settings"),
        ("functions/drift/settings.py", "import deploy.secrets"),
        ("model_store/serving/loader.py", "import model_store.publishing.store"),
    ],
)
def test_a_line_that_breaks_the_drawing_is_found(module: str, line: str, copy: Path) -> None:
    path = copy / module
    before = path.read_text()
    path.write_text(f"{before}\n\ndef later() -> None:\n    {line}\n")
    try:
        done = lint(copy)
    finally:
        path.write_text(before)
    assert done.returncode == 1, done.stdout
    assert module.removesuffix(".py").replace("/", ".") in done.stdout


def test_every_room_is_in_the_drawing_and_has_a_floor() -> None:
    (layers,) = (contract["layers"] for contract in CONFIGURATION["contracts"] if contract["type"] == "layers")
    floors = [floor.split(" | ") for floor in layers]
    assert sorted(room for floor in floors for room in floor) == sorted(ROOMS)
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert found == set(ROOMS)
    drawing = re.search(r"<!-- drawing -->\n```\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)
    assert drawing is not None
    drawn = [re.findall(r"(\w+)/", line) for line in drawing[1].splitlines() if "/" in line]
    assert drawn == floors
