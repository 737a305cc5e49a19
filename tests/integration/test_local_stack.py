"""`./deploy.sh --local` as a user meets it: in a copy of the project, from nothing to ready, and back."""

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from contracts.names import FUNCTIONS
from deploy.runner import wait_until
from tests.project import Project, copy_project


def test_stack_starts_answers_stops_whole_and_resumes(project: Project) -> None:
    project.environment["http_proxy"] = "http://127.0.0.1:9"  # what is on this machine needs no proxy
    started = project.deploy("--local", "--detach")
    assert started.returncode == 0, started.stdout
    assert started.stdout.startswith("training data: ")
    assert "training the first model" in started.stdout
    answer = project.predict("I love you")
    assert answer["prediction"] == "positive"
    with urlopen(f"http://127.0.0.1:{project.port}/function/retrain") as response:
        assert json.load(response)["promotions"][0]["by"] == "deploy.sh --local"
    elsewhere = replace(project, environment={k: v for k, v in project.environment.items() if k != "VENV"})
    assert elsewhere.deploy("--status").returncode == 0
    assert "it runs already" in project.deploy("--local", "--detach").stdout
    addresses = (project.folder / ".local" / "env").read_text()
    assert f"export GATEWAY_URL=http://127.0.0.1:{project.port}\n" in addresses
    # What it serves is signed, and by none but retrain of its functions could it have been.
    assert "all parts are whole" in with_its_addresses(project, f"-m model_store show {answer['model']}")
    may_sign = {name for name in FUNCTIONS if "MODEL_SIGNING_KEY" in psutil.Process(part_pid(project, name)).environ()}
    assert may_sign == {"retrain"}
    for private in (".local", ".local/env", ".local/credentials.json", ".local/supervisord.conf"):
        assert (project.folder / private).stat().st_mode & 0o077 == 0

    assert project.deploy("--stop").returncode == 0
    assert project.processes() == []
    assert project.deploy("--status").returncode != 0

    resumed = project.deploy("--local", "--detach")
    assert resumed.returncode == 0, resumed.stdout
    assert f"model {answer['model']} is there: no training" in resumed.stdout
    assert project.predict("I love you") == answer

    # Its broker's first process killed, a shell, the node under it makes way for a new one.
    old, *others = nodes(project)
    assert not others
    os.kill(part_pid(project, "rabbitmq"), signal.SIGKILL)
    assert wait_until(lambda: len(new := nodes(project)) == 1 and new != [old], 30)
    assert wait_until(lambda: answers_by_stream(project), 60), project.deploy("--status").stdout

    # Its supervisor killed, the stack is an orphan that --status, a further start and --stop must find.
    kill_supervisor(project)
    status = project.deploy("--status")
    assert status.returncode == 1
    assert "--stop ends them" in status.stdout
    again = project.deploy("--local", "--detach")
    assert again.returncode == 0, again.stdout
    assert len(nodes(project)) == 1
    kill_supervisor(project)
    assert project.deploy("--stop").returncode == 0
    assert project.processes() == []


def nodes(project: Project) -> list[int]:
    """Return the Erlang nodes of the stack."""
    found = []
    for process in project.processes():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "beam.smp":
                found.append(process.pid)
    return found


def kill_supervisor(project: Project) -> None:
    os.kill(int((project.folder / ".local" / "supervisord.pid").read_text()), signal.SIGKILL)


def part_pid(project: Project, name: str) -> int:
    """Return the first process of a part, as --status shows it."""
    (line,) = (line for line in project.deploy("--status").stdout.splitlines() if line.startswith(f"{name} "))
    return int(line.split()[3].rstrip(","))


def answers_by_stream(project: Project) -> bool:
    return "positive" in with_its_addresses(project, '-m bridge.client "I love you"')


def with_its_addresses(project: Project, arguments: str) -> str:
    """Run Python with what `.local/env` says, as a user does; return what it prints, nothing where it fails."""
    # Without a proxy, through which nobody on this machine can be reached.
    command = f'unset http_proxy; . .local/env; exec "$VENV/bin/python" {arguments}'
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout if done.returncode == 0 else ""


def test_a_port_that_another_program_takes_meanwhile_is_one_clear_line(project: Project) -> None:
    """Between the choice of ports and the broker's start; whoever asks them is answered, but not by the broker."""
    known = project.folder / ".local" / "ports.json"
    command = ["./deploy.sh", "--local", "--detach"]
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with ExitStack() as stack:
        for name in ("rabbitmq", "rabbitmq-stream"):
            assert wait_until(lambda: known.exists() and name in json.loads(known.read_text()), 60)  # noqa: B023 - called at once
            stack.enter_context(socket.create_server(("127.0.0.1", json.loads(known.read_text())[name])))
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    (line,) = [line for line in output.splitlines() if line.startswith("deploy.sh: ")]
    assert f"rabbitmq can't have port {json.loads(known.read_text())['rabbitmq']}, which " in line
    assert f"(pid {os.getpid()}) has taken meanwhile: stop that, or start again" in line
    assert project.processes() == []


def test_two_stacks_that_start_at_once_take_no_port_of_each_other(tmp_path: Path) -> None:
    projects = [copy_project(tmp_path / name) for name in ("one", "other")]
    try:
        with ThreadPoolExecutor() as threads:
            started = list(threads.map(lambda each: each.deploy("--local", "--detach"), projects))
        assert [each.returncode for each in started] == [0, 0], "\n".join(each.stdout for each in started)
        first, second = (json.loads((each.folder / ".local" / "ports.json").read_text()) for each in projects)
        assert "s3" in first
        assert not set(first.values()) & set(second.values())
        for project in projects:
            assert project.predict("I love you")["prediction"] == "positive"
    finally:
        for project in projects:
            project.deploy("--stop")
    assert [project.processes() for project in projects] == [[], []]


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


@pytest.mark.parametrize("free_bytes", [0, 8_192, 65_536])
def test_a_full_disk_is_said_and_leaves_nothing_running(project: Project, free_bytes: int) -> None:
    folder = project.folder / ".local"
    folder.mkdir(mode=0o700)
    options = ["-t", "tmpfs", "-o", "size=262144,mode=700", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        (folder / "fill").write_bytes(bytes(262_144 - free_bytes))
        result = project.deploy("--local", "--detach")
        assert result.returncode == 1
        assert "No space left on device" in result.stdout or "the disk of .local is full" in result.stdout
        assert "Traceback" not in result.stdout
        assert [line.startswith("deploy.sh: ") for line in result.stdout.splitlines()].count(True) == 1
        assert project.processes() == []
    finally:
        subprocess.run(["umount", folder], check=True)


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


@pytest.mark.parametrize("arguments", [["--detach"], ["--help"], ["--local", "--no-such-option"]])
def test_deploy_says_how_it_is_used(project: Project, arguments: list[str]) -> None:
    result = project.deploy(*arguments)
    assert result.returncode == 2
    assert "usage: ./deploy.sh --local" in result.stdout
