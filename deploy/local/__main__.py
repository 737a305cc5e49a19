"""The commands behind `./deploy.sh --local`: up, stop, status."""

import argparse
import fcntl
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from subprocess import Popen, TimeoutExpired, run
from types import FrameType
from urllib.request import urlopen

from deploy.local import processes
from deploy.local.services import MissingServerError, tail
from deploy.local.stack import PortBusyError, Stack, plan
from deploy.local.state import ROOT, State
from deploy.local.supervisor import Supervisor

READY_TIMEOUT_SECONDS = 120
NOT_RUNNING = 3  # the status of `--status` for a stack that is stopped, as init scripts have it


class StartError(Exception):
    """The stack can't be started; the message is for the user."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its status."""
    parser = argparse.ArgumentParser(prog="deploy.sh --local")
    commands = parser.add_subparsers(required=True, dest="command")
    up_command = commands.add_parser("up")
    up_command.add_argument("--detach", action="store_true")
    commands.add_parser("stop")
    commands.add_parser("status")
    parsed = parser.parse_args(arguments)
    # Line by line also into a pipe, so that what is said keeps its order with what the parts say.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    state = State()
    supervisor = Supervisor(state)
    if parsed.command == "stop":
        print("stopped" if supervisor.stop() else "nothing was running")
        return 0
    if parsed.command == "status":
        return status(supervisor)
    try:
        return up(state, supervisor, parsed.detach)
    except (MissingServerError, PortBusyError) as error:
        print(f"deploy.sh: {error}")
        return 1
    except BrokenPipeError:
        # Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def status(supervisor: Supervisor) -> int:
    """Prints a line a part; returns 0 when all run, 1 when one does not, 3 when the stack is stopped."""
    if not supervisor.runs():
        print("not running")
        return NOT_RUNNING
    for part in supervisor.status():
        print(f"{part.name:15} {part.state:10} {part.description}")
    return 0 if supervisor.all_run() else 1


def up(state: State, supervisor: Supervisor, detach: bool) -> int:
    """Starts everything, waits until it is ready; then returns, or shows the log until it is stopped."""
    with ExitStack() as undo:
        with _one_start_at_a_time(state):
            if supervisor.runs():
                print(f"it runs already; ./deploy.sh --stop stops it. Log: {_shown(state.stack_log)}")
                return 0
            processes.end_stack(state.folder)
            stack = plan(state, os.environ)
            for note in stack.notes:
                print(note)
            # From here on Ctrl-C and the end of the terminal undo the start.
            undo.callback(_stop, supervisor)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _exit)
            state.keep_variables(stack.variables)
            process = supervisor.start(stack)
            try:
                _start(state, supervisor, process, stack)
            except StartError as error:
                # Said before the stop, which takes some seconds.
                print(f"deploy.sh: {error}")
                return 1
        _explain(state, stack)
        if not detach:
            return _show_log(state.stack_log, process)
        undo.pop_all()
    return 0


def _start(state: State, supervisor: Supervisor, process: "Popen[bytes]", stack: Stack) -> None:
    """Starts stage after stage, and makes the first model as soon as there is a store."""
    started = time.monotonic()

    def wait(name: str, log: Path, ready: Callable[[], bool]) -> None:
        _wait_until_ready(supervisor, process, name, log, ready)
        print(f"{time.monotonic() - started:5.1f} s  {name} is ready")

    wait("supervisord", state.logs / "supervisord.out", supervisor.runs)
    servers, brokers, own = stack.stages
    for part in servers:
        supervisor.start_part(part.name)
    for part in servers:
        wait(part.name, part.log, part.ready)
    for part in brokers:
        supervisor.start_part(part.name)
    # The broker takes the longest to start; the first model is made meanwhile.
    command = [sys.executable, "-m", "deploy.local.bootstrap"]
    if run(command, cwd=ROOT, env=stack.environment, check=False).returncode:
        raise StartError("there is no first model to serve, see above")
    state.write("trained", "")
    for part in brokers:
        wait(part.name, part.log, part.ready)
    for part in own:
        supervisor.start_part(part.name)
    for part in own:
        wait(part.name, part.log, part.ready)
    wait("all of it", state.stack_log, lambda: supervisor.all_run() and _answers(stack))


def _wait_until_ready(
    supervisor: Supervisor, process: "Popen[bytes]", name: str, log: Path, ready: Callable[[], bool]
) -> None:
    """Waits for a part; raises StartError with the end of its log when it ends or takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    problem = None
    while not ready():
        if process.poll() is not None:
            problem = "supervisord ended"
        elif supervisor.gave_up(name):
            problem = f"{name} ended"
        elif time.monotonic() > deadline:
            problem = f"{name} is not ready after {READY_TIMEOUT_SECONDS} s"
        if problem:
            raise StartError(f"{problem}; the last lines of {_shown(log)}:\n{tail(log)}")
        with suppress(TimeoutExpired):
            process.wait(0.1)


def _answers(stack: Stack) -> bool:
    """Whether predict is ready to whoever comes through the gateway."""
    try:
        url = f"{stack.environment['GATEWAY_URL']}/function/predict/_/ready"
        with urlopen(url, timeout=5) as response:  # noqa: S310 - GATEWAY_URL is the user's or ours
            return bool(response.status == 200)
    except OSError:
        return False


def _explain(state: State, stack: Stack) -> None:
    """Prints what runs, where, and how to try it."""
    environment = stack.environment
    print("\nready:")
    for name in ("GATEWAY_URL", "S3_ENDPOINT_URL", "MONGODB_URL", "RABBITMQ_URL"):
        if name in environment:
            print(f"  {name:15} {_without_password(environment[name])}")
    print(f"""
try it:
  curl -H 'content-type: application/json' -d '{{"text": "I love you"}}' \\
    {environment.get("GATEWAY_URL")}/function/predict""")
    if "RABBITMQ_URL" in environment:
        print(f'  . {_shown(state.folder / "env")}; {_shown(sys.executable)} -m bridge.client "I love you"')
    print(f"addresses and passwords: {_shown(state.folder / 'env')}   logs: {_shown(state.logs)}/")


def _show_log(log: Path, process: "Popen[bytes]") -> int:
    """Copies what is written to the log from now on, until supervisord ends."""
    print("Ctrl-C stops all of it; the log follows\n")
    with log.open(errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while process.poll() is None:
            shutil.copyfileobj(file, sys.stdout)
            sys.stdout.flush()
            with suppress(TimeoutExpired):
                process.wait(0.25)
    return 0


def _stop(supervisor: Supervisor) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The reader of our output may be what has gone.
    with suppress(OSError):
        print("\nstopping ...")
    supervisor.stop()
    with suppress(OSError):
        print("stopped")


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def _one_start_at_a_time(state: State) -> Iterator[None]:
    """Two starts at once would fight for the ports: the second waits, and finds the first one's stack."""
    with (state.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _shown(path: Path | str) -> str:
    """A path as the user would type it."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
