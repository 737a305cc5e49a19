"""What each part of the system may do at the servers that it uses: the least with which it does its work."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BucketRights:
    """Which objects of the model store's bucket a part may read and write, by patterns: `*` stands for anything.

    Who may write may delete, too. All may list the bucket: a store tells nobody else that an object is not there.
    """

    read: tuple[str, ...]
    write: tuple[str, ...] = ()

    def actions(self, bucket: str) -> list[str]:
        """Return them as SeaweedFS has them."""
        reads = [f"Read:{bucket}/{pattern}" for pattern in self.read]
        return [f"List:{bucket}", *reads, *(f"Write:{bucket}/{pattern}" for pattern in self.write)]


# SeaweedFS takes a key without a `*` for the name of a bucket.
_SERVED = ("current.json*", "versions/*")

BUCKET: Mapping[str, BucketRights] = {
    "predict": BucketRights(_SERVED),
    "drift": BucketRights((*_SERVED, "references/*"), write=("references/*",)),
    "retrain": BucketRights(("*",), write=("*",)),
}
"""The parts that use the model store."""
