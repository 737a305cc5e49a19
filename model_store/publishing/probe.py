"""Does the store keep the promise of conditional writes? Found by trying, at once and side by side."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

from model_store.errors import ConditionalWritesIgnored
from model_store.publishing.objects import Objects

# SeaweedFS keeps a writer that meets another waiting for a second, so more of them make a slow start.
WRITERS = 4
ROUNDS = 2
MAX_PROBE_BYTES = 100


def check_conditional_writes(objects: Objects) -> None:
    """Raise ConditionalWritesIgnored unless one of several writers wins and all others are told.

    Writes objects under probes/ and removes them. Some stores check the condition but race, so every round
    has its writers start together. Raises StoreUnavailable and StoreDenied too.
    """
    for _ in range(ROUNDS):
        key = f"probes/{uuid.uuid4().hex}"
        try:
            _probe(objects, key)
        finally:
            objects.delete(key)


def _probe(objects: Objects, key: str) -> None:
    first = _one_winner(objects, key, etag=None, header="If-None-Match: *")
    if objects.put_if(key, b"second", etag=None) is not None:
        raise ConditionalWritesIgnored("it wrote over an object despite If-None-Match: *")
    second = _one_winner(objects, key, etag=first, header="If-Match")
    if objects.put_if(key, b"stale", etag=first) is not None:
        raise ConditionalWritesIgnored("it wrote over an object despite an If-Match of another ETag")
    if objects.put_if(key, b"fresh", etag=second) is None:
        raise ConditionalWritesIgnored("it refuses a write with If-Match whose condition holds")


def _one_winner(objects: Objects, key: str, *, etag: str | None, header: str) -> str:
    """Let writers race for `key`; returns the winner's ETag."""
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> str | None:
        start.wait(timeout=30)
        # The old ETag is in it since equal content has an equal ETag, which would match again.
        return objects.put_if(key, f"writer {writer} after {etag}".encode(), etag=etag)

    with ThreadPoolExecutor(WRITERS) as pool:
        won = [answer for answer in pool.map(write, range(WRITERS)) if answer is not None]
    if len(won) > 1:
        raise ConditionalWritesIgnored(f"{len(won)} of {WRITERS} writers with the same {header} won, not one")
    stored = objects.get(key, MAX_PROBE_BYTES)
    if stored is None or (won and stored.etag != won[0]):
        raise ConditionalWritesIgnored(f"a write with {header} was answered as done, and is not there")
    if stored.etag == etag:
        raise ConditionalWritesIgnored(f"it refuses a write with {header} whose condition holds")
    # With no winner told, the write whose answer was lost and that was then sent again is the one.
    return stored.etag
