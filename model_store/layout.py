"""The store's layout and its JSON documents: current.json and the promotion log."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from model_store.errors import InvalidDocument, StoreError

CURRENT_KEY = "current.json"
PROMOTIONS_PREFIX = "promotions/"
VERSIONS_PREFIX = "versions/"
STATISTICS_PREFIX = "references/"
MANIFEST = "manifest.json"
MAX_DOCUMENT_BYTES = 64 * 1024

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


def version_key(version: str, name: str) -> str:
    """Return the key of the file `name` of a version; raises StoreError where either can't be a name."""
    return f"{VERSIONS_PREFIX}{check_name(version)}/{check_name(name)}"


def check_name(name: str) -> str:
    """Return `name`; raises StoreError where it can't be one."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is not a name: 1 to 100 letters, digits, '.', '_' and '-' are")
    return name


@dataclass(frozen=True)
class Promotion:
    """One move of current.json: who, when (UTC), from which version, to which, and why."""

    id: str
    at: str
    by: str
    previous: str | None
    version: str
    reason: str

    @classmethod
    def after(cls, last: "Promotion | None", *, version: str, by: str, reason: str) -> "Promotion":
        """Return the promotion of `version` that follows `last`, later than it whatever this clock says."""
        now = datetime.now(UTC)
        if last is not None:
            now = max(now, datetime.fromisoformat(last.at) + timedelta(microseconds=1))
        at = now.isoformat(timespec="microseconds")
        return cls(uuid.uuid4().hex, at, by, last.version if last else None, version, reason)

    @property
    def key(self) -> str:
        """Where the log keeps it: derived from the record, so writing it twice is writing it once."""
        return f"{PROMOTIONS_PREFIX}{datetime.fromisoformat(self.at):%Y%m%dT%H%M%S.%fZ}-{self.id[:8]}.json"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with `from` and `to`."""
        return {
            "id": self.id,
            "at": self.at,
            "by": self.by,
            "from": self.previous,
            "to": self.version,
            "reason": self.reason,
        }

    def to_bytes(self) -> bytes:
        """Return the log entry."""
        return _to_bytes(self.as_dict())

    @classmethod
    def from_bytes(cls, content: bytes, key: str) -> "Promotion":
        """Read a log entry; raises InvalidDocument, naming `key`."""
        return cls._from_document(_from_bytes(content, key), key)

    @classmethod
    def _from_document(cls, document: object, key: str) -> "Promotion":
        match document:
            case {
                "id": str(id_),
                "at": str(at),
                "by": str(by),
                "from": (str() | None) as previous,
                "to": str(version),
                "reason": str(reason),
            }:
                promotion = cls(id_, at, by, previous, version, reason)
            case _:
                raise InvalidDocument(f"{key} holds no promotion with id, at, by, from, to and reason")
        try:
            moment = datetime.fromisoformat(at)
        except ValueError as error:
            raise InvalidDocument(f"{key} has no time in 'at': {error}") from error
        if moment.tzinfo is None:
            raise InvalidDocument(f"{key} has a time without zone in 'at'")
        return promotion


@dataclass(frozen=True)
class Current:
    """What current.json says: the version served, and its promotion; `etag` is the store's."""

    version: str
    etag: str
    promotion: Promotion

    @staticmethod
    def to_bytes(promotion: Promotion) -> bytes:
        """Return the current.json that `promotion` writes."""
        return _to_bytes({"version": promotion.version, "promotion": promotion.as_dict()})

    @classmethod
    def from_bytes(cls, content: bytes, etag: str) -> "Current":
        """Read current.json; raises InvalidDocument."""
        match _from_bytes(content, CURRENT_KEY):
            case {"version": str(version), "promotion": dict(record)} if _NAME.fullmatch(version):
                promotion = Promotion._from_document(record, CURRENT_KEY)
            case _:
                raise InvalidDocument(f"{CURRENT_KEY} names no version and its promotion")
        if promotion.version != version:
            raise InvalidDocument(f"{CURRENT_KEY} serves {version} but promotes {promotion.version}")
        return cls(version, etag, promotion)


def _to_bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _from_bytes(content: bytes, key: str) -> object:
    try:
        return json.loads(content)
    except ValueError as error:
        raise InvalidDocument(f"{key} is not JSON: {error}") from error
