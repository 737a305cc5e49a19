"""Small processes: how the allocator is set, and memory given back by one that serves for weeks."""

import ctypes
from pathlib import Path

SMALL_PROCESS = {
    # One arena: those of other threads would each keep what was once used. Python's own threads take turns anyway.
    "MALLOC_ARENA_MAX": "1",
    # Said here, it stays: glibc else raises it with each large block that is freed, and keeps the next ones.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    # Docstrings, and where in a line an expression stands, are a tenth of a web framework's memory.
    "PYTHONOPTIMIZE": "2",
    "PYTHONNODEBUGRANGES": "1",
}
"""What keeps the project's own processes small: the same as in the Dockerfile."""


def small_process(bytecode: Path) -> dict[str, str]:
    """Return SMALL_PROCESS, and a folder for all bytecode, since the usual places may be read-only."""
    # Empty is unset: a machine that says otherwise would have all of it compiled at each start.
    return {**SMALL_PROCESS, "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}


def give_back() -> None:
    """Return freed memory to the system; takes about a millisecond."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
