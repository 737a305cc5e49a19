"""Runs the parts of the stack under supervisord: restarts, ordered stop, status."""

import os
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPConnection
from math import ceil
from pathlib import Path
from string import Template
from typing import Any
from xmlrpc.client import Fault, ServerProxy, Transport

import psutil

from bridge.settings import DRAIN_SECONDS
from deploy.local.log import MAX_LOG_BYTES
from deploy.local.processes import PART, STACK, end, listener, of_stack, ports_of
from deploy.local.stack import Stack
from deploy.local.state import ROOT, State
from deploy.ports import accepts
from deploy.runner import Service, launch, wait_until
from process.settings import number

# What a part has from SIGTERM to SIGKILL beyond the longest drain, which is the bridge's.
_MARGIN_SECONDS = 10
# It stops one part after the other, and each may take as long as it may.
_STOP_SECONDS = 300
_ANSWER_SECONDS = 10
_ENDED = ("BACKOFF", "EXITED", "FATAL")


class Supervisor:
    """The supervisord of one stack, whether it runs or not."""

    def __init__(self, state: State) -> None:
        self._state = state
        program = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon")
        self.service = Service(
            name="supervisord",
            folder=ROOT,  # where it finds deploy.local.log
            command=(*program, "--configuration", str(state.folder / "supervisord.conf")),
            ready=lambda: self.status() is not None,
            log=state.logs / "supervisord.out",
            environment={STACK: str(state.folder), PART: ""},
        )

    def start(self, stack: Stack) -> "subprocess.Popen[bytes]":
        """Start supervisord, which knows the parts in their order but starts none yet."""
        self._state.stack_log.touch(mode=0o600)
        self._state.write("supervisord.conf", self._settings(stack.parts))
        # A process group of its own: Ctrl-C goes to the terminal's, and these are to end in order.
        return launch(self.service, stack.environment)

    def start_parts(self, parts: list[Service]) -> None:
        """Start parts in their order, and wait for none."""
        for part in parts:
            self._call("startProcess", part.name, False)

    def taken(self, part: Service) -> str | None:
        """Return that another program has a port of a part, and which; None where the part has all of its own.

        Also None where nobody listens yet.
        """
        for port in part.ports:
            if accepts(port) and port not in self._ports(part):
                other = listener(port) or "another program"
                return (
                    f"{part.name} can't have port {port}, which {other} has taken meanwhile: stop that, or start again"
                )
        return None

    def is_ready(self, part: Service) -> bool:
        """Return whether a part says that it is ready, and it is the part that says so."""
        return part.ready() and set(part.ports) <= self._ports(part)

    def status(self) -> dict[str, tuple[str, str]] | None:
        """Return each part's state (RUNNING, BACKOFF, FATAL, ...) and a description of it, by the part's name.

        None where supervisord does not run, or is stopping. RUNNING is what has run for a second.
        """
        with suppress(OSError, Fault):
            infos = self._call("getAllProcessInfo")
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
        folder = self._state.folder
        ran = bool(self.processes())
        with suppress(OSError, Fault):
            self._call("shutdown")
            # Left alone, supervisord looks once a second whether a part has ended; asked, it looks at once.
            wait_until(lambda: self.status() is None and not of_stack(folder, ""), _STOP_SECONDS)
        end(self.processes, kill_seconds())
        # A supervisord that was killed left its socket.
        self._state.socket.unlink(missing_ok=True)
        return ran

    def processes(self) -> list[psutil.Process]:
        """Return this user's live processes that belong to the stack, of a supervisord that was killed, too."""
        return of_stack(self._state.folder)

    def _ports(self, part: Service) -> set[int]:
        return ports_of(of_stack(self._state.folder, part.name))

    def _call(self, method: str, *arguments: object) -> Any:
        """Return what supervisord answers; raises OSError where it does not, Fault where it will not."""
        # A new connection each time: supervisord closes idle ones, and restarts.
        with ServerProxy("http://localhost", transport=_UnixTransport(self._state.socket)) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _settings(self, parts: list[Service]) -> str:
        folder, log = self._state.folder, self._state.stack_log
        text = _filled(
            "supervisord.conf", socket=self._state.socket, log=log, folder=folder, max_log_bytes=MAX_LOG_BYTES
        )
        if os.getuid() == 0:
            text += "user = root\n"  # else it warns of that
        seconds = kill_seconds()
        for priority, part in enumerate(parts, start=1):
            text += _filled(
                "program.conf",
                name=part.name,
                command=shlex.join(
                    [sys.executable, "-m", "deploy.local.part", str(seconds), str(part.folder), *part.command]
                ),
                root=ROOT,
                kill_seconds=ceil(seconds),
                environment=",".join(f"{name}={_quoted(value)}" for name, value in part.environment.items()),
                priority=priority,
                log=part.log,
                # Several parts write the stack's log: deploy.local.log turns it over.
                max_log_bytes=0 if part.log == log else MAX_LOG_BYTES,
            )
        return text


class _UnixTransport(Transport):
    """XML-RPC over supervisord's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        """Connect, with a limit to each wait: a supervisord that hangs still takes connections."""
        connection = HTTPConnection(host)
        connection.sock = socket.socket(socket.AF_UNIX)
        self._connection = host, connection  # closed with this
        connection.sock.settimeout(_ANSWER_SECONDS)
        connection.sock.connect(str(self._path))
        return connection


def kill_seconds() -> float:
    """Return how long a part may take from SIGTERM until it is killed; raises SettingsError."""
    return number("BRIDGE_DRAIN_SECONDS", DRAIN_SECONDS, least=0.1) + _MARGIN_SECONDS


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
