"""Work for which a process that serves is too small a place: done by a child process that then ends.

The child pays for what it imports, so the server stays small, and nothing that happens to the child (a crash, a lack
of memory) reaches the model that is being served.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

WRONG_CONTENT = os.EX_DATAERR
STORE_FAILED = os.EX_TEMPFAIL
DENIED = os.EX_NOPERM

_CANCEL_CHECK_SECONDS = 0.2


class ChildFailed(Exception):
    """A child did not do its work: its message says why; `exit_code` is None where it did not end by itself."""

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def run(module: str, *arguments: str, timeout_seconds: float, cancelled: threading.Event | None = None) -> bytes:
    """Return what `python -m module arguments` writes to stdout; raises ChildFailed."""
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            # Where this very package is, so that the child runs the same code.
            cwd=Path(__file__).resolve().parent.parent,
            # The child only adds and divides: threads for linear algebra would cost it memory and time.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise ChildFailed(f"no process could be started: {error}") from error
    with child:
        try:
            output, errors = _output(child, timeout_seconds, cancelled)
        finally:
            child.kill()
    if child.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        reason = lines[-1][:500] if lines else ""
        if child.returncode < 0:
            reason = f"its process was ended by signal {-child.returncode} {reason}".rstrip()
        raise ChildFailed(reason or f"exit code {child.returncode}", child.returncode)
    return output


def fail(error: Exception, exit_code: int) -> int:
    """Tell the parent why, in the child; returns `exit_code`."""
    sys.stderr.write(f"{error}\n")
    return exit_code


def _output(
    child: "subprocess.Popen[bytes]", timeout_seconds: float, cancelled: threading.Event | None
) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return child.communicate(timeout=_CANCEL_CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled is not None and cancelled.is_set():
                raise ChildFailed("no longer wanted") from None
            if time.monotonic() > deadline:
                raise ChildFailed(f"not done within {timeout_seconds:g} s") from None
