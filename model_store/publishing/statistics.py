"""Statistics kept beside a version: written once, and named by their hash in a document that is written last."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_store.documents import MAX_DOCUMENT_BYTES, STATISTICS_PREFIX, check_name
from model_store.errors import InvalidDocument

if TYPE_CHECKING:
    from model_store.objects import Objects

MAX_STATISTICS_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Statistics:
    """`content` as it was kept, and `about`: JSON that says what it was made of."""

    content: bytes
    about: dict[str, Any]


def write_statistics(objects: "Objects", version: str, name: str, statistics: Statistics) -> None:
    """Keep statistics under `references/<version>/`; what was kept under that name before stays."""
    digest = hashlib.sha256(statistics.content).hexdigest()
    objects.put_if(_key(version, f"{digest}.npz"), statistics.content, etag=None)
    document = {"sha256": digest, "size_bytes": len(statistics.content), "about": statistics.about}
    objects.put_if(_key(version, f"{name}.json"), json.dumps(document, indent=2).encode() + b"\n", etag=None)


def read_statistics(objects: "Objects", version: str, name: str) -> Statistics | None:
    """Return what is kept, None if nothing is; raises InvalidDocument where it is not what was kept."""
    key = _key(version, f"{name}.json")
    stored = objects.get(key, MAX_DOCUMENT_BYTES)
    if stored is None:
        return None
    try:
        document = json.loads(stored.content)
    except ValueError as error:
        raise InvalidDocument(f"{key} is not JSON: {error}") from error
    match document:
        case {"sha256": str(digest), "size_bytes": int(size_bytes), "about": dict(about)}:
            pass
        case _:
            raise InvalidDocument(f"{key} names no statistics with sha256, size_bytes and about")
    content = objects.get(_key(version, f"{digest}.npz"), min(size_bytes, MAX_STATISTICS_BYTES))
    if content is None or hashlib.sha256(content.content).hexdigest() != digest:
        raise InvalidDocument(f"{key} names statistics that are gone or damaged; delete it to have them made again")
    return Statistics(content.content, about)


def _key(version: str, file: str) -> str:
    return f"{STATISTICS_PREFIX}{check_name(version)}/{check_name(file)}"
