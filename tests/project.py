"""The project as a user has it: a copy of its own, in which `./deploy.sh` starts and stops the local stack."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy import ports

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_SECONDS = 180
# A tenth is held out, and a check of drift asks for 200 texts.
TRAINING_TEXTS = 2_400


@dataclass(frozen=True)
class Project:
    """A copy of the project, what its commands are run with, and the port of its gateway."""

    folder: Path
    environment: dict[str, str]
    port: int

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["./deploy.sh", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_TIMEOUT_SECONDS,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Every live process that has the folder in its command line, environment or working directory."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and any(
                    str(self.folder) in text
                    for text in (*process.cmdline(), *process.environ().values(), process.cwd())
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def addresses(self) -> dict[str, str]:
        """Return what .local/env says."""
        lines = (self.folder / ".local" / "env").read_text().splitlines()
        exports = [shlex.split(line.removeprefix("export ")) for line in lines if line.startswith("export ")]
        return dict(word.split("=", 1) for words in exports for word in words)

    def post(self, path: str, body: object, *, token: str | None = None) -> dict[str, Any]:
        """Return what the gateway answers to JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        connection.request("POST", path, json.dumps(body), headers)
        with closing(connection):
            return dict(json.load(connection.getresponse()))

    def predict(self, text: str) -> dict[str, Any]:
        return self.post("/function/predict", {"text": text})


def copy_project(folder: Path) -> Project:
    """Copy what is, or is about to be, under version control into a new folder below `folder`, with data to train on.

    Nothing of it runs yet.
    """
    if shutil.which("git") is None:
        pytest.skip("git is not installed, so what belongs to the project is not known")
    folder = folder / "a project"  # with a space: people have those
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "reviews.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(TRAINING_TEXTS // 2):
            table.writerow([f"I love this wonderful film {number}", 1])
            table.writerow([f"I hate this awful movie, what a bore {number}", 0])
    port = ports.free_port()
    settings = ("S3_ENDPOINT_URL", "MONGODB_URL", "RABBITMQ_URL", "GATEWAY_URL")
    environment = {name: value for name, value in os.environ.items() if name not in settings} | {
        "VENV": str(Path(sys.executable).parents[1]),
        "TRAIN_DATA": "reviews.csv",
        "LOCAL_PORT": str(port),
    }
    return Project(folder, environment, port)


@contextmanager
def running_stack(folder: Path) -> Iterator[Project]:
    """Run the local stack, with all of its parts, in a copy of the project below `folder`."""
    project = copy_project(folder)
    try:
        started = project.deploy("--local", "--detach")
        assert started.returncode == 0, started.stdout
        for line in started.stdout.splitlines():
            if line.startswith("no stream"):
                if os.environ.get("CI") == "true":
                    pytest.fail(line)
                pytest.skip(line)
        yield project
    finally:
        project.deploy("--stop")
