"""Turns the stack's log over while the stack runs: a part of supervisord itself, which writes that log.

Several parts share the log, and supervisord's own rotation is for one writer of a file: each would go on with the file
that another one has moved. So the file is moved here, and then all are opened anew, as at SIGUSR2.
"""

from pathlib import Path
from typing import Any

from supervisor import events

MAX_LOG_BYTES = 10_000_000


def before(log: Path) -> Path:
    """Return where the log before this one is."""
    return log.with_suffix(".log.1")


def make(supervisord: Any, log: str, max_bytes: str) -> object:
    """Look at the size of `log` every 5 s; supervisord calls this at its start, with what its settings say."""
    path, limit = Path(log), int(max_bytes)

    def turn_over(_event: events.Tick5Event) -> None:
        if not path.exists() or path.stat().st_size <= limit:
            return
        path.replace(before(path))
        path.touch(mode=0o600)
        supervisord.options.reopenlogs()
        for group in supervisord.process_groups.values():
            group.reopenlogs()

    events.subscribe(events.Tick5Event, turn_over)
    return object()  # supervisord wants something to be asked by XML-RPC; this offers nothing
