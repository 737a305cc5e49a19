"""Where the store keeps what, and what current.json says."""

import re
import reprlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from msgspec import Raw

from contracts.codec import Malformed, Reader, compact, encode, indented
from contracts.manifest import CurrentDocument, Promotion, read_current, read_promotion
from model_store.errors import CurrentRefused, Distrusted, InvalidDocument, StoreError, VersionNotFound
from model_store.trust import EVERYBODY, UNSIGNED, Signer, Trust

CURRENT_KEY = "current.json"
PROMOTIONS_PREFIX = "promotions/"
VERSIONS_PREFIX = "versions/"
STATISTICS_PREFIX = "references/"
MAX_DOCUMENT_BYTES = 64 * 1024

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
T = TypeVar("T")


def version_key(version: str, name: str) -> str:
    """Return the key of the file `name` of a version; raises VersionNotFound, StoreError where one can't be a name."""
    return f"{VERSIONS_PREFIX}{check_name(version, VersionNotFound)}/{check_name(name)}"


def check_name(name: str, error: type[StoreError] = StoreError) -> str:
    """Return `name`; raises `error` where it can't be one."""
    if not _NAME.fullmatch(name):
        raise error(f"{name!r} is not a name: 1 to 100 letters, digits, '.', '_' and '-' are")
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
    def to_bytes(promotion: Promotion, signer: Signer = UNSIGNED) -> bytes:
        """Return the current.json that `promotion` writes; raises StoreError where it can't be signed."""
        content = encode(promotion)
        return to_bytes(CurrentDocument(promotion.version, Raw(content), signer.sign_promotion(content)))

    @classmethod
    def from_bytes(cls, content: bytes, etag: str, trust: Trust = EVERYBODY) -> "Current":
        """Read current.json, if it is to be trusted; raises CurrentRefused."""
        version = None
        try:
            found = read_current(content)
            promotion = read_promotion(found.promotion)
            if not _NAME.fullmatch(found.version) or promotion.version != found.version:
                named, promoted = reprlib.repr(found.version), reprlib.repr(promotion.version)
                raise Malformed(f"serves {named} but promotes {promoted}")
            version = found.version
            trust.check_promotion(compact(found.promotion), found.signature)
        except (Malformed, Distrusted) as error:
            untrusted = isinstance(error, Distrusted)
            raise CurrentRefused(str(error), etag=etag, version=version, untrusted=untrusted) from error
        return cls(version, etag, promotion)


def to_bytes(document: object) -> bytes:
    """Return a document as the store keeps it: JSON for people to read."""
    return indented(document).encode() + b"\n"


def read_document(reader: Reader[T], content: bytes, key: str) -> T:
    """Return the document at `key`; raises InvalidDocument."""
    try:
        return reader(content)
    except Malformed as error:
        raise InvalidDocument(f"{key} {error}") from error
