"""Runs a part as its image and the local stack do: with just its own packages, and as a small process."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from deploy.runner import Service
from process.memory import small_process
from tests.system import ROOT

FUNCTIONS = ROOT / "requirements" / "functions.lock"


def as_deployed(service: Service, folder: Path, lock: Path = FUNCTIONS) -> Service:
    """Return a service that runs on a virtual environment made from `lock` in `folder`."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    packages = ("--require-hashes", "--requirement", lock)
    subprocess.run([python, "-m", "pip", "install", "-qq", *packages], check=True)  # -qq: no warnings of the index
    environment = {**service.environment, **small_process(folder / "bytecode")}
    return replace(service, command=(str(python), *service.command[1:]), environment=environment)
