"""Ed25519 signatures. Who has no key does not import this: libsodium takes 1 MB.

What is signed begins with what it is, so that no signature is good for anything else.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from contracts.manifest import Promotion
from model_store.errors import Distrusted, VersionDistrusted
from model_store.layout import version_key
from model_store.trust import later

if TYPE_CHECKING:
    from model_store.versions import Read

MAX_SIGNATURE_BYTES = 200


class KeyHolder:
    """Signs by the secret half of a key pair."""

    def __init__(self, seed: bytes) -> None:
        """seed: 32 bytes."""
        self._key = SigningKey(seed)

    @property
    def public_key(self) -> bytes:
        """The other half, 32 bytes."""
        return bytes(self._key.verify_key)

    def sign_version(self, version: str, manifest: bytes) -> Mapping[str, bytes]:
        """Return the signature's file, whose name is that of the key."""
        return {_file_of(self.public_key): self._sign(_of_version(version, manifest)).encode() + b"\n"}

    def sign_promotion(self, promotion: bytes) -> str:
        """Return the signature as hexadecimal digits."""
        return self._sign(_of_promotion(promotion))

    def _sign(self, message: bytes) -> str:
        return self._key.sign(message).signature.hex()


class KeyHolders:
    """Believes what one of some keys has signed."""

    def __init__(self, public_keys: Sequence[bytes]) -> None:
        """public_keys: of 32 bytes each."""
        self._keys = public_keys

    def check_version(self, read: "Read", version: str, manifest: bytes) -> None:
        """Raise VersionDistrusted unless one of the keys has signed this manifest for this version."""
        message = _of_version(version, manifest)
        files = (read(version_key(version, _file_of(key)), MAX_SIGNATURE_BYTES) for key in self._keys)
        found = [(key, stored.content) for key, stored in zip(self._keys, files, strict=True) if stored]
        if not found:
            raise VersionDistrusted(version, "no key of MODEL_PUBLIC_KEY has signed it")
        if not any(_has_signed(key, message, content.decode("ascii", "replace")) for key, content in found):
            raise VersionDistrusted(version, "it is not what its signature was made for")

    def check_promotion(self, promotion: bytes, signature: str | None) -> None:
        """Raise Distrusted unless one of the keys has signed it."""
        if signature is None:
            raise Distrusted("is not signed")
        message = _of_promotion(promotion)
        if not any(_has_signed(key, message, signature) for key in self._keys):
            raise Distrusted("is signed by no key of MODEL_PUBLIC_KEY, or was altered")

    def check_order(self, promotion: Promotion, newest: Promotion | None) -> None:
        """Raise Distrusted unless it is the newest, or newer than that."""
        if newest is not None and promotion != newest and not later(promotion, newest):
            raise Distrusted(f"is a replay: it is of {promotion.at}, and one of {newest.at} was read before")


def _of_version(version: str, manifest: bytes) -> bytes:
    return b"sentiment-openfaas model version\n" + version.encode() + b"\n" + manifest


def _of_promotion(promotion: bytes) -> bytes:
    return b"sentiment-openfaas promotion\n" + promotion


def _file_of(public_key: bytes) -> str:
    return f"manifest.{public_key.hex()[:16]}.sig"


def _has_signed(public_key: bytes, message: bytes, signature: str) -> bool:
    try:
        VerifyKey(public_key).verify(message, bytes.fromhex(signature))
    except (BadSignatureError, ValueError):  # ValueError: no hexadecimal digits, or another number of them
        return False
    return True
