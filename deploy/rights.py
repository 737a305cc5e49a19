"""What each part of the system may do at the servers that it uses: the least with which it does its work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.names import ALERTS, PREDICTIONS, REJECTED


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


@dataclass(frozen=True)
class BrokerRights:
    """What a user of RabbitMQ may declare, write and read: regular expressions of names, an empty one of none."""

    configure: str = ""
    write: str = ""
    read: str = ""


def broker(reviews: str, labels: str) -> Mapping[str, BrokerRights]:
    """Return the rights of each user of the broker, by his name; reviews and labels: what the bridge reads."""
    reviews, labels = re.escape(reviews), re.escape(labels)
    inputs = rf"({reviews}|{labels})(-[0-9]+)?(\.(unfinished|reader|rejected|dead-letter))?"
    streams = rf"{PREDICTIONS}|{REJECTED}|{inputs}"
    # A queue of one's own, which nobody else can name: as `bridge.client` calls it, or as the broker does.
    own = r"client-.*|amq\.gen-.*"
    return {
        # Who asks for an answer names the queue, so the bridge has to write to every one.
        "bridge": BrokerRights(f"^({streams})$", rf"^({streams}|amq\.default)$", f"^({streams})$"),
        "drift": BrokerRights(f"^{ALERTS}$", f"^{ALERTS}$"),
        "reviews": BrokerRights(f"^({own})$", f"^{reviews}(-[0-9]+)?$", f"^({own}|{REJECTED})$"),
        "labels": BrokerRights(write=f"^{labels}$"),
    }
