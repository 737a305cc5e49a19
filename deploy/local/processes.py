"""The live processes of a local stack, found by their environment, whoever their parents are or were."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.runner import wait_until

STACK = "LOCAL_STACK"
"""The variable that each process of a stack has; its value is the stack's folder."""
PART = "SUPERVISOR_PROCESS_NAME"
"""The variable that supervisord sets for each part; what the part starts inherits it. Supervisord's own is empty."""


def of_stack(folder: str | Path, part: str | None = None) -> list[psutil.Process]:
    """Return this user's live processes of a stack, or of one of its parts; the part "" is supervisord itself."""
    found = []
    for process in psutil.process_iter(["environ"]):
        # None where a process has ended, or is another user's.
        environment = process.info["environ"] or {}
        if environment.get(STACK) == str(folder) and part in (None, environment.get(PART)):
            found.append(process)
    return found


def end(find: Callable[[], list[psutil.Process]], timeout_seconds: float) -> None:
    """Send SIGTERM to all that `find` returns, and SIGKILL to what it still returns after the timeout."""
    for signal in (psutil.Process.terminate, psutil.Process.kill):
        for process in find():
            with suppress(psutil.NoSuchProcess):
                signal(process)
        if wait_until(lambda: not find(), timeout_seconds):
            return


def ports_of(processes: list[psutil.Process]) -> set[int]:
    """Return the TCP ports that processes listen on."""
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return found


def listener(port: int) -> str | None:
    """Return who listens on a TCP port, as `name (pid 1)`; None where that can't be seen."""
    for process in psutil.process_iter(["name", "net_connections"]):
        for connection in process.info["net_connections"] or ():
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return f"{process.info['name']} (pid {process.pid})"
    return None
