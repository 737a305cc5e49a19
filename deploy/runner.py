"""Runs a server: started as a process, and waited for.

The standard library alone, since deploy.sh waits for what it deploys before there is a virtual environment.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

POLL_SECONDS = 0.05


class ServiceError(RuntimeError):
    """A part of the system can't be had; the message says why, and what to do or the end of a log that tells."""


@dataclass(frozen=True)
class Service:
    """One process of the system: how it starts, how one sees that it is ready, what it offers.

    `environment` is added to the caller's; `variables` are the settings with which others reach it; `ports` are those
    of loopback that a process of its own listens on once it is ready.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    ready: Callable[[], bool]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[int, ...] = ()


def launch(service: Service, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a service in a process group of its own, with what it needs added to this environment."""
    with service.log.open("ab") as log:
        return subprocess.Popen(
            service.command,
            cwd=service.folder,
            env={**environment, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Ask every 50 ms until the condition holds; return False when it did not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_until_ready(
    name: str,
    ready: Callable[[], bool],
    timeout_seconds: float,
    *,
    failed: Callable[[], str | None] = lambda: None,
    explain: Callable[[], str],
) -> None:
    """Wait until a part of the system is ready.

    Raises ServiceError as soon as `failed` returns why it never will be, or after the timeout, with what `explain`
    returns on the lines below.
    """
    wait_until(lambda: ready() or failed() is not None, timeout_seconds)
    if not ready():
        problem = failed() or f"{name} is not ready after {timeout_seconds:g} s"
        raise ServiceError(f"{problem}\n{explain()}")


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, or a note that there is none."""
    if not path.exists():
        return f"({path} was not written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
