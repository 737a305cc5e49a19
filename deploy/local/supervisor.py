"""Runs the parts of the stack under supervisord: restarts, ordered stop, status."""

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from deploy.local.stack import Stack
from deploy.local.state import State
from deploy.runner import Service, launch, wait_until

# The environment variable by which a process of a local stack is known; its value is the stack's folder.
_MARKER = "LOCAL_STACK"
_STOP_SECONDS = 60
_KILL_SECONDS = 20
_ENDED = ("BACKOFF", "EXITED", "FATAL")
_MAX_LOG_BYTES = 10_000_000


class Supervisor:
    """The supervisord of one stack, whether it runs or not."""

    def __init__(self, state: State) -> None:
        self._state = state
        program = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon")
        self.service = Service(
            name="supervisord",
            folder=state.folder,
            command=(*program, "--configuration", str(state.folder / "supervisord.conf")),
            ready=lambda: self.status() is not None,
            log=state.logs / "supervisord.out",
            environment={_MARKER: str(state.folder)},
        )

    def start(self, stack: Stack) -> "subprocess.Popen[bytes]":
        """Start supervisord, which knows the parts in their order but starts none yet."""
        log = self._state.stack_log
        log.touch(mode=0o600)
        if log.stat().st_size > _MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
            log.touch(mode=0o600)
        self._state.write("supervisord.conf", self._settings(stack.parts))
        # A process group of its own: Ctrl-C goes to the terminal's, and these are to end in order.
        return launch(self.service, stack.environment)

    def start_parts(self, parts: list[Service]) -> None:
        """Start parts in their order, and wait for none."""
        for part in parts:
            self._rpc.startProcess(part.name, False)

    def status(self) -> dict[str, tuple[str, str]] | None:
        """Return each part's state (RUNNING, BACKOFF, FATAL, ...) and a description of it, by the part's name.

        None where supervisord does not run, or is stopping. RUNNING is what has run for a second.
        """
        with suppress(OSError, Fault):
            infos = self._rpc.getAllProcessInfo()
            return {info["name"]: (info["statename"], info["description"]) for info in infos}
        return None

    def all_run(self) -> bool:
        """Return whether supervisord and every part run."""
        parts = self.status()
        return parts is not None and all(state == "RUNNING" for state, _ in parts.values())

    def gave_up(self, name: str) -> str | None:
        """Return that a part ended by itself; None where it did not."""
        state, _ = (self.status() or {}).get(name, ("", ""))
        return f"{name} ended" if state in _ENDED else None

    def stop(self) -> bool:
        """Stop all parts in the reverse order of their start, then what is left; return False if nothing ran."""
        ran = bool(self._processes())
        with suppress(OSError, Fault):
            self._rpc.shutdown()
            wait_until(lambda: not self._processes(), _STOP_SECONDS)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for process in self._processes():
                with suppress(psutil.NoSuchProcess):
                    end(process)
            if wait_until(lambda: not self._processes(), _KILL_SECONDS):
                break
        # A supervisord that was killed left its socket.
        self._state.socket.unlink(missing_ok=True)
        return ran

    def _processes(self) -> list[psutil.Process]:
        """Return this user's live processes that belong to the stack, of a supervisord that was killed, too."""
        # None where a process has ended, or is another user's.
        processes, folder = psutil.process_iter(["environ"]), str(self._state.folder)
        return [process for process in processes if (process.info["environ"] or {}).get(_MARKER) == folder]

    @property
    def _rpc(self) -> Any:
        # A new connection each time: supervisord closes idle ones, and restarts.
        transport = SupervisorTransport(None, None, f"unix://{self._state.socket}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _settings(self, parts: list[Service]) -> str:
        folder, log = self._state.folder, self._state.stack_log
        text = _filled("supervisord.conf", socket=self._state.socket, log=log, folder=folder)
        if os.getuid() == 0:
            text += "user = root\n"  # else it warns of that
        for priority, part in enumerate(parts, start=1):
            text += _filled(
                "program.conf",
                name=part.name,
                command=shlex.join(part.command),
                folder=part.folder,
                environment=",".join(f"{name}={_quoted(value)}" for name, value in part.environment.items()),
                priority=priority,
                log=part.log,
                # Several parts write the stack's log, so none of them may turn it over.
                max_log_bytes=0 if part.log == log else _MAX_LOG_BYTES,
            )
        return text


def _filled(file: str, **values: object) -> str:
    """Return a template beside this module with values in it, which supervisord takes as they are."""
    template = Template(Path(__file__).with_name(file).read_text())
    return template.substitute({key: str(value).replace("%", "%%") for key, value in values.items()})


def _quoted(value: str) -> str:
    """Return a value as supervisord's settings want it: in quotes, which can't be escaped. Raises ValueError."""
    for quote in ('"', "'"):
        if quote not in value:
            return quote + value + quote
    raise ValueError(f"supervisord can't take a setting with both kinds of quotes: {value}")
