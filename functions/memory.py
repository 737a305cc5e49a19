"""Keeps a process small that starts once and then serves for weeks."""

import ctypes
import os
import sys

_ALLOCATOR = {
    # One arena: those of other threads would each keep what was once used. Python's own threads take turns anyway.
    "MALLOC_ARENA_MAX": "1",
    # Said here, it stays: glibc else raises it with each large block that is freed, and keeps the next ones.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def restart_small() -> None:
    """Put a small interpreter in this one's place, the same process: call it before anything large is imported.

    It has no docstrings (`-OO`), which are a tenth of a web framework's memory, and glibc's allocator gives freed
    memory back; other allocators don't know these variables, and one that the environment sets already stays.
    """
    if sys.flags.optimize < 2:
        os.execve(sys.executable, [sys.executable, "-OO", *sys.orig_argv[1:]], {**_ALLOCATOR, **os.environ})  # noqa: S606  # this very program


def give_back() -> None:
    """Return freed memory to the system; takes about a millisecond."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
