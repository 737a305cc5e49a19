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

    glibc's allocator then gives freed memory back; others don't know these variables, and what the environment sets
    already stays.
    """
    if not _ALLOCATOR.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**_ALLOCATOR, **os.environ})  # noqa: S606  # this very program


def give_back() -> None:
    """Return freed memory to the system; takes about a millisecond."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
