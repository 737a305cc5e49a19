"""A version as a serving process takes it: fetched and checked by a child, handed over as words and numbers."""

import hashlib
import json
import threading
from array import array
from typing import Any

from model_store import child
from model_store.errors import VersionRefused
from sentiment.scorer import Scorer
from sentiment.table import PackedTable

_DIGEST_BYTES = hashlib.sha256().digest_size


def encode(scorer: Scorer, manifest: dict[str, Any]) -> bytes:
    """Return a line of JSON, the parts of a PackedTable in this machine's byte order, and a SHA-256 of all."""
    table = PackedTable.pack(scorer.table)
    parts = [table.words, table.indices.tobytes(), table.numbers.tobytes()]
    header = {
        "manifest": manifest,
        "bias": scorer.bias,
        "index_type": table.indices.typecode,
        "sizes_bytes": [len(part) for part in parts],
    }
    content = b"".join([json.dumps(header).encode(), b"\n", *parts])
    return content + hashlib.sha256(content).digest()


def decode(message: bytes) -> tuple[Scorer, dict[str, Any]]:
    """Read what `encode` wrote; raises ValueError where it was cut off or changed."""
    content = memoryview(message)[:-_DIGEST_BYTES]
    if hashlib.sha256(content).digest() != message[-_DIGEST_BYTES:]:
        raise ValueError("the model arrived incomplete")
    start = message.index(b"\n") + 1
    header = json.loads(message[:start])
    parts = []
    for size_bytes in header["sizes_bytes"]:
        parts.append(content[start : start + size_bytes])
        start += size_bytes
    words, indices, numbers = parts
    table = PackedTable(bytes(words), array(header["index_type"], bytes(indices)), array("d", bytes(numbers)))
    return Scorer(table, header["bias"]), header["manifest"]


def fetch_scorer(
    version: str, timeout_seconds: float = 60, cancelled: threading.Event | None = None
) -> tuple[Scorer, dict[str, Any]]:
    """Return a version, fetched and checked in a child process, as a scorer and its manifest.

    The child finds the store by the environment. Raises VersionRefused, with the child's reason.
    """
    try:
        message = child.run("model_store.fetch", version, timeout_seconds=timeout_seconds, cancelled=cancelled)
        return decode(message)
    except child.ChildFailed as error:
        passing = error.exit_code != child.WRONG_CONTENT
        raise VersionRefused(version, str(error), passing=passing) from error
    except (ValueError, MemoryError) as error:
        raise VersionRefused(version, str(error) or "not enough memory", passing=True) from error
