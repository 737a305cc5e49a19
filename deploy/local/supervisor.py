"""Runs the parts of the stack under supervisord: restarts, ordered stop, status."""

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from deploy.local.processes import MARKER, end_stack, of_stack
from deploy.local.stack import Stack
from deploy.local.state import State
from deploy.runner import Service, wait_until

_STOP_SECONDS = 20
_ENDED = ("BACKOFF", "EXITED", "FATAL")
_MAX_STACK_LOG_BYTES = 10_000_000


class Supervisor:
    """The supervisord of one stack, whether it runs or not."""

    def __init__(self, state: State) -> None:
        self._state = state

    def start(self, stack: Stack) -> "subprocess.Popen[bytes]":
        """Start supervisord, which knows the parts in their order but starts none yet."""
        log = self._state.stack_log
        log.touch(mode=0o600)
        if log.stat().st_size > _MAX_STACK_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
            log.touch(mode=0o600)
        config = self._state.write("supervisord.conf", self._config(stack.parts))
        with (self._state.logs / "supervisord.out").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)],
                cwd=self._state.folder,
                env={**stack.environment, MARKER: str(self._state.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the terminal's processes; these are to end in order.
                start_new_session=True,
            )

    def runs(self) -> bool:
        """Return whether supervisord answers."""
        with suppress(OSError):
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        return False

    def start_parts(self, parts: list[Service]) -> None:
        """Start parts in their order, and wait for none."""
        for part in parts:
            self._rpc.startProcess(part.name, False)

    def status(self) -> list[tuple[str, str, str]]:
        """Return each part's name, its state (RUNNING, BACKOFF, FATAL, ...) and supervisord's description of it.

        There is none when supervisord does not run.
        """
        with suppress(OSError):
            infos = self._rpc.getAllProcessInfo()
            return [(info["name"], info["statename"], info["description"]) for info in infos]
        return []

    def all_run(self) -> bool:
        """Return whether every part has run for the second after which supervisord trusts it."""
        return all(state == "RUNNING" for _, state, _ in self.status())

    def gave_up(self, name: str) -> bool:
        """Return whether a part ended by itself."""
        return any(part == name and state in _ENDED for part, state, _ in self.status())

    def stop(self) -> bool:
        """Stop all parts in the reverse order of their start, then what is left; return False if nothing ran."""
        folder = self._state.folder
        with suppress(OSError, Fault):
            self._rpc.shutdown()
            wait_until(lambda: not of_stack(folder), timeout_seconds=60)
            end_stack(folder)
            return True
        # A supervisord that was killed left its socket.
        self._state.socket.unlink(missing_ok=True)
        return end_stack(folder)

    @property
    def _rpc(self) -> Any:
        # A new connection each time: supervisord closes idle ones, and restarts.
        transport = SupervisorTransport(None, None, f"unix://{self._state.socket}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _config(self, services: list[Service]) -> str:
        sections: dict[str, dict[str, object]] = {
            "unix_http_server": {"file": self._state.socket, "chmod": "0700"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            "supervisord": {
                "logfile": self._state.stack_log,
                "logfile_maxbytes": 0,
                "silent": "true",
                "pidfile": self._state.folder / "supervisord.pid",
                "umask": "077",
                **({"user": "root"} if os.getuid() == 0 else {}),
            },
        }
        for priority, service in enumerate(services, start=1):
            sections[f"program:{service.name}"] = {
                "command": shlex.join(service.command),
                "directory": service.folder,
                "environment": ",".join(f"{k}={_quoted(v)}" for k, v in service.environment.items()),
                "priority": priority,
                "autostart": "false",
                "autorestart": "true",
                "startretries": 20,
                "stopasgroup": "true",
                "killasgroup": "true",
                "stopwaitsecs": _STOP_SECONDS,
                "redirect_stderr": "true",
                "stdout_logfile": service.log,
                # Several parts write the stack's log, so none of them may turn it over.
                "stdout_logfile_maxbytes": "0" if service.log == self._state.stack_log else "10MB",
                "stdout_logfile_backups": 1,
            }
        return "".join(
            f"[{name}]\n" + "".join(f"{key} = {str(value).replace('%', '%%')}\n" for key, value in section.items())
            for name, section in sections.items()
        )


def _quoted(value: str) -> str:
    """Return a value as supervisord's settings want it: in quotes, which can't be escaped. Raises ValueError."""
    for quote in ('"', "'"):
        if quote not in value:
            return quote + value + quote
    raise ValueError(f"supervisord can't take a setting with both kinds of quotes: {value}")
