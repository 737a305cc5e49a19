"""Where the store keeps what, and what current.json says."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from contracts.codec import Malformed, Reader, indented
from contracts.manifest import CurrentDocument, Promotion, read_current
from model_store.errors import InvalidDocument, StoreError

CURRENT_KEY = "current.json"
PROMOTIONS_PREFIX = "promotions/"
VERSIONS_PREFIX = "versions/"
STATISTICS_PREFIX = "references/"
MAX_DOCUMENT_BYTES = 64 * 1024

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
T = TypeVar("T")


def version_key(version: str, name: str) -> str:
    """Return the key of the file `name` of a version; raises StoreError where either can't be a name."""
    return f"{VERSIONS_PREFIX}{check_name(version)}/{check_name(name)}"


def check_name(name: str) -> str:
    """Return `name`; raises StoreError where it can't be one."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is not a name: 1 to 100 letters, digits, '.', '_' and '-' are")
    return name


def next_promotion(last: Promotion | None, *, version: str, by: str, reason: str) -> Promotion:
    """Return the promotion of `version` that follows `last`, later than it whatever this clock says."""
    now = datetime.now(UTC)
    if last is not None:
        now = max(now, datetime.fromisoformat(last.at) + timedelta(microseconds=1))
    at = now.isoformat(timespec="microseconds")
    return Promotion(uuid.uuid4().hex, at, by, last.version if last else None, version, reason)


def promotion_key(promotion: Promotion) -> str:
    """Return where the log keeps a promotion: derived from it, so that writing it twice is writing it once."""
    at = datetime.fromisoformat(promotion.at)
    return f"{PROMOTIONS_PREFIX}{at:%Y%m%dT%H%M%S.%fZ}-{promotion.id[:8]}.json"


@dataclass(frozen=True)
class Current:
    """What current.json says: the version served, and its promotion; `etag` is the store's."""

    version: str
    etag: str
    promotion: Promotion

    @staticmethod
    def to_bytes(promotion: Promotion) -> bytes:
        """Return the current.json that `promotion` writes."""
        return to_bytes(CurrentDocument(promotion.version, promotion))

    @classmethod
    def from_bytes(cls, content: bytes, etag: str) -> "Current":
        """Read current.json; raises InvalidDocument."""
        found = read_document(read_current, content, CURRENT_KEY)
        if not _NAME.fullmatch(found.version) or found.promotion.version != found.version:
            raise InvalidDocument(f"{CURRENT_KEY} serves {found.version!r} but promotes {found.promotion.version!r}")
        return cls(found.version, etag, found.promotion)


def to_bytes(document: object) -> bytes:
    """Return a document as the store keeps it: JSON for people to read."""
    return indented(document).encode() + b"\n"


def read_document(reader: Reader[T], content: bytes, key: str) -> T:
    """Return the document at `key`; raises InvalidDocument."""
    try:
        return reader(content)
    except Malformed as error:
        raise InvalidDocument(f"{key} {error}") from error
