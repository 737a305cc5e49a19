"""`./deploy.sh --local` as a user meets it: in a copy of the project, from nothing to ready, and back."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from deploy.local import services

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 180


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


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A copy of what is, or is about to be, under version control; nothing of it runs afterwards."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed, so what belongs to the project is not known")
    folder = tmp_path / "a project"  # with a space: people have those
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "reviews.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(50):
            table.writerow([f"I love this wonderful film {number}", 1])
            table.writerow([f"I hate this awful movie {number}", 0])
    port = services.free_port()
    settings = ("S3_ENDPOINT_URL", "MONGODB_URL", "RABBITMQ_URL", "GATEWAY_URL")
    environment = {name: value for name, value in os.environ.items() if name not in settings} | {
        "VENV": str(Path(sys.executable).parents[1]),
        "TRAIN_DATA": "reviews.csv",
        "LOCAL_PORT": str(port),
    }
    project = Project(folder, environment, port)
    yield project
    if project.processes():
        project.deploy("--stop")


def test_stack_starts_answers_stops_whole_and_resumes(project: Project) -> None:
    started = project.deploy("--local", "--detach")
    assert started.returncode == 0, started.stdout
    assert started.stdout.startswith("training data: ")
    assert "training the first model" in started.stdout
    answer = project.predict("I love you")
    assert answer["prediction"] == "positive"
    assert project.deploy("--status").returncode == 0
    assert "it runs already" in project.deploy("--local", "--detach").stdout
    addresses = (project.folder / ".local" / "env").read_text()
    assert f"export GATEWAY_URL=http://127.0.0.1:{project.port}\n" in addresses
    for private in (".local", ".local/env", ".local/credentials.json", ".local/supervisord.conf"):
        assert (project.folder / private).stat().st_mode & 0o077 == 0

    assert project.deploy("--stop").returncode == 0
    assert project.processes() == []
    assert project.deploy("--status").returncode != 0

    resumed = project.deploy("--local", "--detach")
    assert resumed.returncode == 0, resumed.stdout
    assert f"model {answer['model']} is there: no training" in resumed.stdout
    assert project.predict("I love you") == answer

    # Its supervisor killed, the stack is an orphan that --stop must find.
    supervisor = int((project.folder / ".local" / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    assert project.deploy("--stop").returncode == 0
    assert project.processes() == []


def test_ctrl_c_stops_the_foreground_stack_while_it_starts_and_while_it_runs(project: Project) -> None:
    for awaited in ("s3 is ready", "Ctrl-C stops all of it"):
        process = subprocess.Popen(
            ["./deploy.sh", "--local"],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            assert any(awaited in line for line in process.stdout)
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=60)
            assert output.endswith("stopped\n")
            assert process.returncode == 128 + signal.SIGINT
        finally:
            process.kill()
            process.wait()
        assert project.processes() == []


def test_a_start_whose_reader_goes_away_leaves_nothing_running(project: Project) -> None:
    """As in `./deploy.sh --local --detach | head -1`."""
    process = subprocess.Popen(
        ["./deploy.sh", "--local", "--detach"],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("training data: ")
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 1
    assert project.processes() == []


def test_a_busy_port_is_one_clear_line_and_nothing_is_left_running(project: Project) -> None:
    with socket.create_server(("127.0.0.1", project.port)):
        result = project.deploy("--local", "--detach")
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if not line.startswith("training data: ")]
    assert f"port {project.port} is taken" in line
    assert "LOCAL_PORT=" in line
    assert project.processes() == []


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("no-such.csv", None, "no-such.csv: no such file"),
        ("one-sided.csv", "text,label\ngood,1\nbetter,1\n", "texts of both labels are needed"),
    ],
)
def test_training_data_that_are_no_use_are_one_clear_line_and_nothing_is_left_running(
    project: Project, name: str, content: str | None, problem: str
) -> None:
    project.environment["TRAIN_DATA"] = name
    if content:
        (project.folder / name).write_text(content)
    result = project.deploy("--local", "--detach")
    assert result.returncode == 1
    assert [problem in line for line in result.stdout.splitlines()].count(True) == 1
    assert project.processes() == []


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--local", "--no-such-option"]])
def test_deploy_says_how_it_is_used(project: Project, arguments: list[str]) -> None:
    result = project.deploy(*arguments)
    assert result.returncode == 2
    assert "usage: ./deploy.sh --local" in result.stdout
