"""What can go wrong with a model store, each with a message that says what to do or what was found."""

from typing import TYPE_CHECKING

from process.tls import explained
from sentiment.artifact import ArtifactError

if TYPE_CHECKING:
    from model_store.layout import Current


class StoreError(Exception):
    """Something is wrong with the store or with what it holds; the base of all errors here."""


class StoreUnavailable(StoreError):
    """The store can't be reached or answers with a server's error: trying again later may help."""


class StoreDenied(StoreError):
    """The store refuses the credentials, or they lack a permission."""


NO_KEYS = (
    "no keys for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
    " or mount the secrets s3-access-key and s3-secret-key"
)


class InvalidDocument(StoreError):
    """A document in the bucket, such as current.json, is not what this package writes."""


class Distrusted(Exception):
    """A promotion is not one that a trusted key has signed, or it is an old one: "is not signed", and so on."""


class CurrentRefused(InvalidDocument):
    """current.json is damaged, not signed by a trusted key, or older than one that was read before.

    etag: the store's. version: what it would serve, None where it can't be read. untrusted: it may be an attack.
    """

    def __init__(self, reason: str, *, etag: str, version: str | None, untrusted: bool) -> None:
        super().__init__(f"current.json is refused: it {reason}")
        self.etag = etag
        self.version = version
        self.untrusted = untrusted


class ObjectTooLarge(StoreError):
    """An object is larger than what is read of it at most."""

    def __init__(self, key: str, max_bytes: int) -> None:
        super().__init__(f"{key} is larger than the {max_bytes} bytes that it may have")


class VersionNotFound(StoreError):
    """There is no such version, or it has no manifest.json: it was never wholly written."""


class VersionDistrusted(ArtifactError):
    """A version is not one that a trusted key has signed."""

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(
            f"version {version} is not trusted: {reason}. Where you know who made it,"
            f" `python -m model_store sign {version}` signs it"
        )


class VersionExists(StoreError):
    """The version id is taken by other content; versions never change."""


class PromotionConflict(StoreError):
    """Someone else promoted first; `winner` is what is served now, None if that was removed."""

    def __init__(self, version: str, winner: "Current | None") -> None:
        if winner is None:
            found = "current.json is gone"
        else:
            at = winner.promotion.at
            found = f"{winner.version} is served, promoted by {winner.promotion.by} at {at}"
        super().__init__(f"{version} was not promoted, someone else was first: {found}")
        self.winner = winner


class ConditionalWritesIgnored(StoreError):
    """The store does not keep the promise of conditional writes, which promotions rest on."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"this S3 store does not honour conditional writes ({found}), so two promotions could"
            " overwrite each other unseen. Use a store that does (SeaweedFS 4, MinIO, Amazon S3), and check"
            " that no proxy in between removes the headers If-Match and If-None-Match"
        )


class VersionRefused(StoreError):
    """A version can't be served.

    passing: the cause may go away by itself. untrusted: no trusted key has signed it, so it may be an attack.
    """

    def __init__(self, version: str, reason: str, *, passing: bool, untrusted: bool = False) -> None:
        super().__init__(f"{version} refused: {reason}")
        self.version = version
        self.reason = reason
        self.passing = passing
        self.untrusted = untrusted


def words_of(error: Exception) -> str:
    """Return what a client of S3 says of a store that it can't reach."""
    return explained(error, authorities="AWS_CA_BUNDLE", address="S3_ENDPOINT_URL")


def error_of_answer(status: int, code: str, message: str = "") -> StoreError:
    """Return the error that an HTTP status and an S3 error code stand for."""
    text = f"the store answered {status} {code}".rstrip() + (f": {message}" if message else "")
    if status in (401, 403):
        return StoreDenied(f"{text} (check the keys, the bucket's policy and this machine's clock)")
    if status >= 500 or status in (408, 429):
        return StoreUnavailable(text)
    return StoreError(text)
