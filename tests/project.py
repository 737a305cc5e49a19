"""The project as a user has it: a copy of its own, in which `./deploy.sh` starts and stops the local stack."""

import csv
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

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

    def predict(self, text: str) -> dict[str, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"content-type": "application/json"}
        connection.request("POST", "/function/predict", json.dumps({"text": text}), headers)
        with closing(connection):
            return dict(json.load(connection.getresponse()))


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
