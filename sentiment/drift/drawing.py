"""A sample drawn over time, of which nobody has to know how many there will be."""

import heapq
from collections.abc import Iterable
from hashlib import blake2b


def drawn(ids: Iterable[str], size: int, key: str) -> list[str]:
    """Return `size` of these ids, or all if they are fewer: those whose hashes under `key` are the smallest.

    Each id has the same chance, and what was not drawn need not be remembered:
    `drawn([*drawn(a, n, key), *b], n, key) == drawn([*a, *b], n, key)`, in whatever parts and however often ids come.
    (A bottom-k sample: E. Cohen, H. Kaplan, Summarizing data using bottom-k sketches, PODC 2007.) The key is not to be
    known to whoever can choose ids.
    """
    secret = key.encode()
    return heapq.nsmallest(size, set(ids), key=lambda identifier: blake2b(identifier.encode(), key=secret).digest())
