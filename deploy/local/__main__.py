"""The commands behind `./deploy.sh --local`: up, stop, status."""

import argparse
import fcntl
import os
import re
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from errno import ENOSPC
from io import TextIOWrapper
from pathlib import Path
from subprocess import Popen, TimeoutExpired, run

from deploy.local.stack import Stack, plan
from deploy.local.state import ROOT, State
from deploy.local.supervisor import Supervisor
from deploy.ports import wrong_at
from deploy.runner import Service, ServiceError, tail, wait_until_ready
from process.settings import SettingsError

READY_TIMEOUT_SECONDS = 120
LEAST_FREE_BYTES = 1_000_000
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOT_RUNNING = 3  # the status of `--status` for a stack that is stopped, as init scripts have it


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its status."""
    parser = argparse.ArgumentParser(prog="deploy.sh --local")
    parser.add_argument("command", choices=["up", "stop", "status"])
    parser.add_argument("--detach", action="store_true")
    parsed = parser.parse_args(arguments)
    # Line by line also into a pipe, so that what is said keeps its order with what the parts say.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        state = State()
        supervisor = Supervisor(state)
        if parsed.command == "stop":
            print("stopped" if supervisor.stop() else "nothing was running")
            return 0
        if parsed.command == "status":
            return status(supervisor)
        return up(state, supervisor, parsed.detach)
    except SettingsError as error:
        print(f"deploy.sh: {error}")
        return 2
    except BrokenPipeError:
        # Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def status(supervisor: Supervisor) -> int:
    """Print a line for each part; return 0 when all run, 1 when not all is well, 3 when the stack is stopped."""
    parts = supervisor.status()
    if parts is None:
        if left := supervisor.processes():
            print(f"its supervisor does not answer, {len(left)} processes are there; ./deploy.sh --stop ends them")
            return 1
        print("not running")
        return NOT_RUNNING
    for name, (part_state, description) in parts.items():
        print(f"{name:15} {part_state:10} {description}")
    return 0 if supervisor.all_run() else 1


def up(state: State, supervisor: Supervisor, detach: bool) -> int:
    """Start everything, wait until it is ready; then return, or show the log until it is stopped."""
    with ExitStack() as undo, (state.folder / "lock").open("w") as lock:
        # A second start in this folder waits for the first one, and then finds that the stack runs already.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if supervisor.status() is not None:
            print(f"it runs already; ./deploy.sh --stop stops it. Log: {_shown(state.stack_log)}")
            return 0
        supervisor.stop()  # what is left of one whose supervisord was killed
        try:
            stack = plan(state, os.environ)
            for note in stack.notes:
                print(note)
            # From here on Ctrl-C and the end of the terminal undo the start.
            undo.callback(_stop, supervisor)
            for number in END_SIGNALS:
                signal.signal(number, lambda number, _frame: sys.exit(128 + number))
            state.keep_variables(stack.variables)
            process = supervisor.start(stack)
            _start(state, supervisor, process, stack)
        except ServiceError as error:
            # Said before the stop, which takes some seconds.
            print(f"deploy.sh: {error}")
            return 1
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            print(f"deploy.sh: {_shown(state.folder)} can't be written: {error}")
            return 1
        fcntl.flock(lock, fcntl.LOCK_UN)
        _explain(state, stack)
        if not detach:
            return _show_log(state.stack_log, process)
        undo.pop_all()
    return 0


def _start(state: State, supervisor: Supervisor, process: "Popen[bytes]", stack: Stack) -> None:
    """Start stage after stage, and make the first model as soon as there is a store; raises ServiceError."""
    started = time.monotonic()

    def wait(part: Service) -> None:
        wait_until_ready(
            part.name,
            lambda: supervisor.is_ready(part),
            READY_TIMEOUT_SECONDS,
            failed=lambda: (
                "supervisord ended"
                if process.poll() is not None
                else supervisor.taken(part) or supervisor.gave_up(part.name)
            ),
            explain=lambda: f"{_disk(state)}the last lines of {_shown(part.log)}:\n{tail(part.log)}",
        )
        print(f"{time.monotonic() - started:5.1f} s  {part.name} is ready")

    wait(supervisor.service)
    # The broker takes the longest to start; the first model is made meanwhile.
    supervisor.start_parts(stack.servers + stack.broker)
    for part in stack.servers:
        wait(part)
    command = [sys.executable, "-m", "deploy.first_model"]
    environment = {**stack.environment, **stack.operator, "PROMOTED_BY": "deploy.sh --local"}
    if run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise ServiceError("there is no first model to serve, see above")
    state.write("trained", "")
    for part in stack.broker:
        wait(part)
    supervisor.start_parts(stack.own)
    for part in stack.own:
        wait(part)
    os.environ["no_proxy"] = stack.environment["no_proxy"]  # this process asks the gateway, too
    predict = f"{stack.environment['GATEWAY_URL']}/function/predict"
    wait(Service("all of it", ROOT, (), lambda: supervisor.all_run() and wrong_at(predict) is None, state.stack_log))


def _disk(state: State) -> str:
    """Return a line where the disk is full: what ends for that can't say so in its log."""
    full = shutil.disk_usage(state.folder).free < LEAST_FREE_BYTES
    return f"the disk of {_shown(state.folder)} is full; " if full else ""


def _explain(state: State, stack: Stack) -> None:
    """Print what runs, where, and how to try it."""
    environment = {**stack.environment, **stack.variables}
    print("\nready:")
    for name in ("GATEWAY_URL", "S3_ENDPOINT_URL", "MONGODB_URL", "RABBITMQ_URL"):
        if url := environment.get(name):
            print(f"  {name:15} {re.sub('//.*@', '//', url)}")  # without the password
    # What is behind the # never leaves the browser.
    print(f"\nlook at it:\n  {environment.get('GATEWAY_URL')}/#token={environment.get('CONSOLE_TOKEN')}")
    print(f"""
try it:
  curl -H 'content-type: application/json' -d '{{"text": "I love you"}}' \\
    {environment.get("GATEWAY_URL")}/function/predict""")
    if "RABBITMQ_URL" in environment:
        print(f'  . {_shown(state.folder / "env")}; {_shown(Path(sys.executable))} -m bridge.client "I love you"')
    print(f"addresses and passwords: {_shown(state.folder / 'env')}   logs: {_shown(state.logs)}/")


def _show_log(log: Path, process: "Popen[bytes]") -> int:
    """Copy what is written to the log from now on, until supervisord ends; return 0 where it was told to, else 1."""
    print("Ctrl-C stops all of it; the log follows\n")
    with ExitStack() as opened:
        file = opened.enter_context(log.open(errors="replace"))
        file.seek(0, os.SEEK_END)
        while True:
            # Asked before the rest is read: nothing is written any more once supervisord has ended, or has gone over to
            # another file.
            ended, turned_over = process.poll() is not None, _is_another(log, file.fileno())
            shutil.copyfileobj(file, sys.stdout)
            sys.stdout.flush()
            if turned_over:
                opened.close()
                file = opened.enter_context(log.open(errors="replace"))
            elif ended:
                break
            else:
                with suppress(TimeoutExpired):
                    process.wait(0.25)
    if process.returncode:
        print(f"supervisord ended with status {process.returncode}")
    return int(process.returncode != 0)


def _is_another(log: Path, file: int) -> bool:
    """Return whether there is another file of the log's name than the one that is open."""
    with suppress(FileNotFoundError):
        return not os.path.samestat(log.stat(), os.fstat(file))
    return False


def _stop(supervisor: Supervisor) -> None:
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # The reader of our output may be what has gone.
    with suppress(OSError):
        print("\nstopping ...")
    supervisor.stop()
    with suppress(OSError):
        print("stopped")


def _shown(path: Path) -> str:
    """Return a path as the user would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
