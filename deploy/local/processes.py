"""Which process is whose: those of a local stack, and the one that has a port."""

from contextlib import suppress
from pathlib import Path

import psutil

from deploy.runner import wait_until

MARKER = "LOCAL_STACK"
"""The environment variable by which a process of a local stack is known; its value is the stack's folder."""


def of_stack(folder: Path) -> list[psutil.Process]:
    """Return this user's live processes that belong to the stack of this folder."""
    # None where a process has ended, or is another user's.
    processes = psutil.process_iter(["environ"])
    return [process for process in processes if (process.info["environ"] or {}).get(MARKER) == str(folder)]


def end_stack(folder: Path, timeout_seconds: float = 20) -> bool:
    """End what runs of a stack without its supervisor; return whether there was something."""
    if not of_stack(folder):
        return False
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in of_stack(folder):
            with suppress(psutil.NoSuchProcess):
                end(process)
        if wait_until(lambda: not of_stack(folder), timeout_seconds):
            break
    return True


def listener(port: int) -> str | None:
    """Return who listens on a TCP port, as `name (pid 1)`; None where that can't be seen."""
    for process in psutil.process_iter(["name", "net_connections"]):
        for connection in process.info["net_connections"] or ():
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return f"{process.info['name']} (pid {process.pid})"
    return None
