"""Whom readers of the store believe, and in whose name its writers sign; docs/model-store.md says what is signed.

With MODEL_PUBLIC_KEY readers believe the holders of its other half alone, which writers hold as the secret
model-signing-key. Without it they believe whoever can write to the bucket.
"""

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from contracts.manifest import Promotion
from model_store.errors import StoreError
from process.settings import SettingsError, read_secret

if TYPE_CHECKING:
    from model_store.versions import Read

logger = logging.getLogger(__name__)

PUBLIC_KEY = "model-public-key"
SIGNING_KEY = "model-signing-key"
_KEY = re.compile("[0-9a-f]{64}")


class Trust(Protocol):
    """Whom a reader believes."""

    def check_version(self, read: "Read", version: str, manifest: bytes) -> None:
        """Raise VersionDistrusted unless `manifest` is that of `version`; raises StoreError, too."""

    def check_promotion(self, promotion: bytes, signature: str | None) -> None:
        """Raise Distrusted unless `promotion`, JSON without white space, was signed."""

    def check_order(self, promotion: Promotion, newest: Promotion | None) -> None:
        """Raise Distrusted where `promotion` is older than the `newest` that this reader has believed."""


class Signer(Protocol):
    """In whose name a writer signs. Both methods raise StoreError where it can't."""

    def sign_version(self, version: str, manifest: bytes) -> Mapping[str, bytes]:
        """Return the files that say whose a version is, by name."""

    def sign_promotion(self, promotion: bytes) -> str | None:
        """Return the signature of a promotion, JSON without white space."""


class Everybody:
    """The trust of a reader without a public key."""

    def check_version(self, read: "Read", version: str, manifest: bytes) -> None:
        """Believe it."""

    def check_promotion(self, promotion: bytes, signature: str | None) -> None:
        """Believe it."""

    def check_order(self, promotion: Promotion, newest: Promotion | None) -> None:
        """Believe it."""


class Unsigned:
    """The signer of a writer without a key."""

    def sign_version(self, version: str, manifest: bytes) -> Mapping[str, bytes]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def sign_promotion(self, promotion: bytes) -> str | None:  # noqa: ARG002
        """Return nothing."""
        return None


class Forbidden:
    """The signer of a reader that believes only signed versions, and can't sign any."""

    def sign_version(self, version: str, manifest: bytes) -> Mapping[str, bytes]:  # noqa: ARG002
        """Raise StoreError."""
        raise _no_key()

    def sign_promotion(self, promotion: bytes) -> str | None:  # noqa: ARG002
        """Raise StoreError."""
        raise _no_key()


EVERYBODY = Everybody()
UNSIGNED = Unsigned()


def trust() -> Trust:
    """Return whom the environment tells to believe; raises SettingsError."""
    keys = _public_keys()
    if not keys:
        logger.info("MODEL_PUBLIC_KEY is not set: a model is taken from whoever can write to the bucket")
        return EVERYBODY
    # Not at the top: it takes memory, and who has no key does without.
    from model_store.signatures import KeyHolders

    return KeyHolders(keys)


def signer() -> Signer:
    """Return in whose name the environment tells to sign; raises SettingsError."""
    secret, trusted = read_secret(SIGNING_KEY, "MODEL_SIGNING_KEY"), _public_keys()
    if secret is None:
        return Forbidden() if trusted else UNSIGNED
    from model_store.signatures import KeyHolder

    found = KeyHolder(_key("MODEL_SIGNING_KEY", secret))
    if trusted and found.public_key not in trusted:
        raise SettingsError("MODEL_PUBLIC_KEY is not the other half of MODEL_SIGNING_KEY")
    return found


def later(promotion: Promotion, other: Promotion) -> bool:
    """Tell whether a promotion was made after another one."""
    return datetime.fromisoformat(promotion.at) > datetime.fromisoformat(other.at)


def _public_keys() -> list[bytes]:
    """Return the keys to believe; several where one is about to take another's place."""
    found = read_secret(PUBLIC_KEY, "MODEL_PUBLIC_KEY")
    return [_key("MODEL_PUBLIC_KEY", key) for key in (found or "").split()]


def _key(variable: str, text: str) -> bytes:
    if not _KEY.fullmatch(text):
        raise SettingsError(f"{variable} must be 64 digits from 0 to f; `python3 -m deploy.key_pair` makes a pair")
    return bytes.fromhex(text)


def _no_key() -> StoreError:
    return StoreError(
        f"MODEL_PUBLIC_KEY is set, so nobody takes what is not signed: set MODEL_SIGNING_KEY, or mount the secret"
        f" {SIGNING_KEY}"
    )
