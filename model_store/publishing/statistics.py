"""Statistics kept beside a version: written once, and named by their hash in a document that is written last."""

from dataclasses import dataclass

from contracts.promotion import Period, StatisticsDocument, read_statistics_document
from model_store.errors import InvalidDocument
from model_store.layout import MAX_DOCUMENT_BYTES, STATISTICS_PREFIX, check_name, read_document, to_bytes
from model_store.publishing.objects import Objects
from sentiment.artifact import part_of

MAX_STATISTICS_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Statistics:
    """`content` as it was kept, and the period of the texts that it was made of."""

    content: bytes
    about: Period


def write_statistics(objects: Objects, version: str, name: str, statistics: Statistics) -> None:
    """Keep statistics under `references/<version>/`; what was kept under that name before stays."""
    part = part_of(statistics.content)
    objects.put_if(_key(version, f"{part.sha256}.npz"), statistics.content, etag=None)
    document = StatisticsDocument(part.sha256, part.size_bytes, statistics.about)
    objects.put_if(_key(version, f"{name}.json"), to_bytes(document), etag=None)


def read_statistics(objects: Objects, version: str, name: str) -> Statistics | None:
    """Return what is kept, None if nothing is; raises InvalidDocument where it is not what was kept."""
    key = _key(version, f"{name}.json")
    stored = objects.get(key, MAX_DOCUMENT_BYTES)
    if stored is None:
        return None
    document = read_document(read_statistics_document, stored.content, key)
    content = objects.get(_key(version, f"{document.sha256}.npz"), min(document.size_bytes, MAX_STATISTICS_BYTES))
    if content is None or part_of(content.content).sha256 != document.sha256:
        raise InvalidDocument(f"{key} names statistics that are gone or damaged; delete it to have them made again")
    return Statistics(content.content, document.about)


def _key(version: str, file: str) -> str:
    return f"{STATISTICS_PREFIX}{check_name(version)}/{check_name(file)}"
