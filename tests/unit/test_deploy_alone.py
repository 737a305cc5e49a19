"""What deploy.sh runs before anything is installed does with Python's standard library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT


def bare_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python without the packages that are installed here."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_choice_of_training_data(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/reviews"
    said = bare_python("-m", "deploy.training_data", str(tmp_path), IMDB_URL=nowhere)
    assert said.stderr == ""
    assert said.stdout.startswith(f"starter ({nowhere} can't be reached: ")
    (tmp_path / "aclImdb_v1.tar.gz").touch()
    assert bare_python("-m", "deploy.training_data", str(tmp_path)).stdout == "imdb (downloaded before)\n"


@pytest.mark.parametrize("arguments", [[], ["--kubernetes"], ["--remove", "--data"]])
def test_a_dry_run_of_the_deployment_to_openfaas(arguments: list[str]) -> None:
    folder = ROOT / ".local" / "openfaas"
    before = folder.exists()
    said = bare_python("-m", "deploy.openfaas", "--dry-run", *arguments, HOST_ADDRESS="127.0.0.1")
    assert said.stderr == ""
    assert said.returncode == 0
    assert said.stdout.endswith(" s  done\n")
    assert folder.exists() == before  # nothing is written
