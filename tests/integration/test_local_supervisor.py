"""What the local stack's supervisor does with parts that die, stay, hang, or are not those that answer."""

import contextlib
import io
import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from deploy import ports
from deploy.local.__main__ import _show_log, status
from deploy.local.log import before
from deploy.local.stack import Stack
from deploy.local.state import State
from deploy.local.supervisor import Supervisor
from deploy.runner import Service, wait_until

# Listens on $PORT and, at SIGTERM, goes on for $DRAIN seconds.
SERVER = """
import os, signal, socket, sys, time
def drain(*_):
    time.sleep(float(os.environ["DRAIN"]))
    print("drained", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, drain)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    server.accept()[0].close()
"""


@dataclass
class OnePart:
    """A local stack of one part, named `part`."""

    state: State
    supervisor: Supervisor
    process: "subprocess.Popen[bytes]"
    part: Service

    def pids(self) -> list[int]:
        return [process.pid for process in self.supervisor.processes() if process.pid != self.process.pid]

    def first_pid(self) -> int:
        """Return the part's first process, as supervisord sees it."""
        _, description = (self.supervisor.status() or {})["part"]
        return int(description.split()[1].rstrip(","))

    def listener(self) -> int | None:
        """Return which of the stack's processes listens on the part's port."""
        for pid in self.pids():
            with contextlib.suppress(psutil.Error):
                if any(each.status == psutil.CONN_LISTEN for each in psutil.Process(pid).net_connections("tcp")):
                    return pid
        return None


SERVE = [sys.executable, "server.py"]
# Writes numbered lines of 100 characters.
WRITER = """
import itertools, sys, time
for number in itertools.count():
    sys.stdout.write(f"{sys.argv[1]} {number:98}\\n")
    sys.stdout.flush()
    time.sleep(0.005)
"""
# As a broker's start script runs its node: not in its place.
SERVE_UNDER_A_SHELL = ["sh", "-c", f"{shlex.join(SERVE)}; true"]
Start = Callable[..., OnePart]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[OnePart] = []

    def start_one(command: list[str], *, drain_seconds: float = 0) -> OnePart:
        state = State(tmp_path / "a folder")
        (tmp_path / "server.py").write_text(SERVER)
        port = ports.free_port()
        part = Service(
            name="part",
            folder=tmp_path,
            command=tuple(command),
            ready=lambda: ports.accepts(port),
            log=state.logs / "part.log",
            environment={"PORT": str(port), "DRAIN": str(drain_seconds)},
            ports=(port,),
        )
        stack, supervisor = Stack(dict(os.environ), own=[part]), Supervisor(state)
        one = OnePart(state, supervisor, supervisor.start(stack), part)
        started.append(one)
        assert wait_until(supervisor.service.ready, 10)
        return one

    yield start_one
    for one in started:
        for process in one.supervisor.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        one.process.wait()


def test_what_a_killed_first_process_leaves_is_ended_before_the_part_starts_anew(start: Start) -> None:
    one = start(SERVE_UNDER_A_SHELL)
    one.supervisor.start_parts([one.part])
    assert wait_until(lambda: one.supervisor.all_run() and one.supervisor.is_ready(one.part), 10)
    old = one.listener()
    os.kill(one.first_pid(), signal.SIGKILL)
    assert wait_until(lambda: one.listener() not in (None, old), 10), one.part.log.read_text()
    assert len(one.pids()) == 2  # one shell and one server
    assert "its first process has died" in one.part.log.read_text()


def test_a_part_is_ready_only_when_it_is_the_part_that_answers(start: Start) -> None:
    one = start(SERVE)
    (port,) = one.part.ports
    with socket.create_server(("127.0.0.1", port)):
        one.supervisor.start_parts([one.part])
        assert wait_until(lambda: (one.supervisor.taken(one.part) or "").endswith("start again"), 5)
        assert f"part can't have port {port}, which " in (one.supervisor.taken(one.part) or "")
        assert f"(pid {os.getpid()})" in (one.supervisor.taken(one.part) or "")
        assert one.part.ready()
        assert not one.supervisor.is_ready(one.part)
    assert wait_until(lambda: one.supervisor.is_ready(one.part), 30)
    assert one.supervisor.taken(one.part) is None


def test_a_part_that_outlives_its_drain_is_killed_and_stop_leaves_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_DRAIN_SECONDS", "0.1")
    one = start(SERVE, drain_seconds=1_000)
    one.supervisor.start_parts([one.part])
    assert wait_until(lambda: one.supervisor.is_ready(one.part), 10)
    began = time.monotonic()
    assert one.supervisor.stop()
    assert one.supervisor.processes() == []
    assert 10 < time.monotonic() - began < 20


@pytest.mark.parametrize("drain_seconds", [None, 33.5])
def test_a_part_is_killed_later_than_the_longest_drain(
    drain_seconds: float | None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if drain_seconds:
        monkeypatch.setenv("BRIDGE_DRAIN_SECONDS", str(drain_seconds))
    settings = (start(SERVE).state.folder / "supervisord.conf").read_text()
    (seconds,) = (line.split("=")[1] for line in settings.splitlines() if line.startswith("stopwaitsecs"))
    assert int(seconds) >= (drain_seconds or 20) + 10


def test_stop_waits_for_no_process_that_supervisord_does_not_know(start: Start) -> None:
    """As one that left its part's process group, or a killed supervisor's."""
    one = start(["sh", "-c", "setsid sleep 1000 & exec sleep 1000"])
    one.supervisor.start_parts([one.part])
    assert wait_until(lambda: len(one.pids()) == 2, 10)
    began = time.monotonic()
    assert one.supervisor.stop()
    assert one.supervisor.processes() == []
    assert time.monotonic() - began < 10


def test_status_and_stop_know_what_a_killed_supervisor_left(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    one = start(["sleep", "1000"])
    one.supervisor.start_parts([one.part])
    assert wait_until(lambda: len(one.pids()) == 1, 10)
    one.process.kill()
    one.process.wait()
    assert status(one.supervisor) == 1
    assert "1 processes are there; ./deploy.sh --stop ends them" in capsys.readouterr().out
    assert one.supervisor.stop()
    assert status(one.supervisor) == 3
    assert capsys.readouterr().out == "not running\n"


def test_a_supervisor_that_hangs_is_not_waited_for_and_stop_leaves_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.local.supervisor._ANSWER_SECONDS", 0.5)
    one = start(["sleep", "1000"])
    one.supervisor.start_parts([one.part])
    assert wait_until(lambda: len(one.pids()) == 1, 10)
    one.process.send_signal(signal.SIGSTOP)
    assert status(one.supervisor) == 1
    assert "its supervisor does not answer, 2 processes are there" in capsys.readouterr().out
    monkeypatch.setattr("deploy.local.supervisor.kill_seconds", lambda: 1)
    assert one.supervisor.stop()
    assert one.supervisor.processes() == []


def test_the_log_that_parts_share_is_turned_over_while_they_write_and_no_line_is_lost(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.supervisor.MAX_LOG_BYTES", 20_000)
    one = start(SERVE)
    log = one.state.stack_log
    (one.part.folder / "writer.py").write_text(WRITER)
    command = (sys.executable, "writer.py")
    writers = [replace(one.part, name=name, log=log, command=(*command, name), ports=()) for name in "ab"]
    assert one.supervisor.stop()
    one.process.wait()
    process = one.supervisor.start(Stack(dict(os.environ), own=writers))
    assert wait_until(one.supervisor.service.ready, 10)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        reader = threading.Thread(target=_show_log, args=(log, process))
        reader.start()
        one.supervisor.start_parts(writers)
        assert wait_until(before(log).exists, 30)
        first = before(log).stat().st_ino
        assert wait_until(lambda: before(log).stat().st_ino != first, 30), "and again"
        assert one.supervisor.stop()
        process.wait()
        reader.join(10)
    assert log.stat().st_mode & 0o777 == 0o600
    kept = before(log).read_text() + log.read_text()
    for text, begins_at in ((shown.getvalue(), {0}), (kept, range(1_000_000))):
        for writer in "ab":
            numbers = [int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{writer} ")]
            assert len(numbers) > 100
            assert numbers[0] in begins_at
            assert all(after == number + 1 for number, after in itertools.pairwise(numbers))
