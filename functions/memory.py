"""Keeps a process small that starts once and then serves for weeks."""

import ctypes
import os
import sys
from importlib.util import cache_from_source, find_spec
from pathlib import Path

_ALLOCATOR = {
    # One arena: those of other threads would each keep what was once used. Python's own threads take turns anyway.
    "MALLOC_ARENA_MAX": "1",
    # Said here, it stays: glibc else raises it with each large block that is freed, and keeps the next ones.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


# What a start with -OO would otherwise compile again each time: half of its modules are Python's own, half installed.
_COMPILED = ("asyncio", "flask")


def restart_small() -> None:
    """Put a small interpreter in this one's place, the same process: call it before anything large is imported.

    glibc's allocator then gives freed memory back; others don't know these variables, and what the environment sets
    already stays. Docstrings, a tenth of a web framework's memory, are left out (`-OO`) where bytecode without them
    is there: `python -m compileall -o 0 -o 2`.
    """
    if _ALLOCATOR.keys() <= os.environ.keys():
        return
    options = ["-OO"] if all(map(_is_compiled, _COMPILED)) else []
    os.execve(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]], {**_ALLOCATOR, **os.environ})  # noqa: S606  # this very program


def _is_compiled(package: str) -> bool:
    spec = find_spec(package)
    return (
        spec is not None and spec.origin is not None and Path(cache_from_source(spec.origin, optimization=2)).exists()
    )


def give_back() -> None:
    """Return freed memory to the system; takes about a millisecond."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
