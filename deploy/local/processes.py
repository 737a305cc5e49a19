"""Which process is which: found in /proc, or with the tools that macOS comes with."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from deploy.local.services import wait_until

MARKER = "LOCAL_STACK"
"""The environment variable by which a process of a local stack is known; its value is the stack's folder."""

_PROC = Path("/proc/self/environ").exists()


def of_stack(folder: Path) -> list[int]:
    """The ids of this user's live processes that belong to the stack of this folder."""
    mark = f"{MARKER}={folder}"
    if not _PROC:
        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        found = re.findall(rf"^ *(\d+) .* {re.escape(mark)}(?: |$)", listing.stdout, re.MULTILINE)
        return [int(pid) for pid in found]
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, and others' may not be read.
        with suppress(OSError):
            if os.fsencode(mark) in (process / "environ").read_bytes().split(b"\0"):
                pids.append(int(process.name))
    return pids


def end_stack(folder: Path, timeout_seconds: float = 20) -> bool:
    """Ends what runs of a stack without its supervisor; returns whether there was something."""
    if not of_stack(folder):
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in of_stack(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: not of_stack(folder), timeout_seconds):
            break
    return True


def listener(port: int) -> str | None:
    """Who listens on a TCP port, as `name (pid 1)`; None where that can't be seen."""
    if not _PROC:
        if lsof := shutil.which("lsof"):
            command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
            fields = re.search(r"p(\d+)\nc(.+)", subprocess.run(command, capture_output=True, text=True).stdout)
            return f"{fields[2]} (pid {fields[1]})" if fields else None
        return None
    sockets = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{columns[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()) in sockets:
                process = link.parents[1]
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None
