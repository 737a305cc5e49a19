"""A Python for predict with just what its container has: what else is installed, as uvloop, is loaded too."""

import subprocess
import sys
from pathlib import Path

from tests.system import ROOT


def lean_python(folder: Path) -> str:
    """Make a virtual environment from requirements/functions.lock in `folder`; returns its interpreter."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    lock = ROOT / "requirements" / "functions.lock"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", lock], check=True)
    return str(python)
