"""A version as a serving process takes it: fetched and checked by a child, handed over as words and numbers.

Loading needs NumPy and for a moment the memory of a whole artifact; serving needs neither. A child process
pays for both and ends, so the server stays small, and nothing that a bad version does to the child (a crash,
a lack of memory) reaches the model that is being served.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

from model_store.errors import VersionRefused
from sentiment.scorer import Scorer

WRONG_CONTENT = os.EX_DATAERR
STORE_FAILED = os.EX_TEMPFAIL

_DIGEST_BYTES = hashlib.sha256().digest_size
_CANCEL_CHECK_SECONDS = 0.2


def encode(scorer: Scorer, manifest: dict[str, Any]) -> bytes:
    """Return a line of JSON, the words, a line each, log-odds as little-endian float64, and a SHA-256."""
    words = "\n".join(scorer.table).encode()
    log_odds = _swapped_on_big_endian(array("d", scorer.table.values())).tobytes()
    header = {
        "manifest": manifest,
        "bias": scorer.bias,
        "words": len(scorer.table),
        "words_bytes": len(words),
    }
    content = b"".join([json.dumps(header).encode(), b"\n", words, log_odds])
    return content + hashlib.sha256(content).digest()


def decode(message: bytes) -> tuple[Scorer, dict[str, Any]]:
    """Read what `encode` wrote; raises ValueError where it was cut off or changed."""
    content = memoryview(message)[:-_DIGEST_BYTES]
    if hashlib.sha256(content).digest() != message[-_DIGEST_BYTES:]:
        raise ValueError("the model arrived incomplete")
    start = message.index(b"\n") + 1
    header = json.loads(message[:start])
    end = start + header["words_bytes"]
    words = str(content[start:end], "utf-8").split("\n") if header["words"] else []
    log_odds = array("d")
    log_odds.frombytes(content[end:])
    return Scorer.from_pairs(words, _swapped_on_big_endian(log_odds), header["bias"]), header["manifest"]


def fetch_scorer(
    version: str, timeout_seconds: float = 60, cancelled: threading.Event | None = None
) -> tuple[Scorer, dict[str, Any]]:
    """Return a version, fetched and checked in a child process, as a scorer and its manifest.

    The child finds the store by the environment. Raises VersionRefused, with the child's reason.
    """
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "model_store.fetch", version],
            # Where this very package is, so that the child runs the same code.
            cwd=Path(__file__).resolve().parent.parent,
            # The child only adds and divides: threads for linear algebra would cost it memory and time.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise VersionRefused(version, f"no process could be started to fetch it: {error}", passing=True) from error
    with child:
        try:
            message, errors = _output(child, version, timeout_seconds, cancelled)
        finally:
            child.kill()
    if child.returncode != 0:
        raise _refusal(version, child.returncode, errors)
    try:
        return decode(message)
    except (ValueError, MemoryError) as error:
        raise VersionRefused(version, str(error) or "not enough memory", passing=True) from error


def _output(
    child: "subprocess.Popen[bytes]", version: str, timeout_seconds: float, cancelled: threading.Event | None
) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return child.communicate(timeout=_CANCEL_CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled is not None and cancelled.is_set():
                raise VersionRefused(version, "no longer wanted", passing=True) from None
            if time.monotonic() > deadline:
                raise VersionRefused(
                    version, f"it was not fetched within {timeout_seconds:g} s", passing=True
                ) from None


def _refusal(version: str, exit_code: int, errors: bytes) -> VersionRefused:
    lines = errors.decode(errors="replace").strip().splitlines()
    reason = lines[-1][:500] if lines else ""
    if exit_code < 0:
        reason = f"the process that fetched it was ended by signal {-exit_code} {reason}".rstrip()
    return VersionRefused(version, reason or f"exit code {exit_code}", passing=exit_code != WRONG_CONTENT)


def _swapped_on_big_endian(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
