"""Asking what is served, cheaply: a conditional GET of current.json."""

import time
from collections.abc import Callable

from model_store import child
from model_store.documents import CURRENT_KEY, MAX_DOCUMENT_BYTES, Current
from model_store.errors import StoreDenied, StoreUnavailable
from model_store.reader import StoredObject, Unchanged, read_unless

SIGNED_FOR_SECONDS = 3600
SIGN_AGAIN_AFTER_SECONDS = 2700
SIGN_TIMEOUT_SECONDS = 20


def sign_current() -> str:
    """Return a URL of current.json, signed by a child process with the keys that the environment names.

    Raises StoreDenied without keys, StoreUnavailable where it can't be signed now.
    """
    try:
        return child.run("model_store.signing", timeout_seconds=SIGN_TIMEOUT_SECONDS).decode()
    except child.ChildFailed as error:
        if error.exit_code == child.DENIED:
            raise StoreDenied(str(error)) from error
        raise StoreUnavailable(f"no request could be signed: {error}") from error


class CurrentPoller:
    """Reads current.json, and the second time only whether it changed; for one thread."""

    def __init__(self, sign: Callable[[], str] = sign_current) -> None:
        """`sign` returns a URL of current.json that is good for SIGNED_FOR_SECONDS; raises StoreError."""
        self._sign = sign
        self._url: str | None = None
        self._sign_at = 0.0  # on the monotonic clock
        self._etag: str | None = None

    def poll(self) -> Current | Unchanged | None:
        """Return what is served, Unchanged since the last poll, or None before the first promotion.

        Raises StoreUnavailable (network, 5xx), StoreDenied (401, 403), InvalidDocument (not a current.json).
        """
        stored = self._read()
        match stored:
            case Unchanged():
                return stored
            case None:
                self._etag = None
                return None
        current = Current.from_bytes(stored.content, stored.etag)
        self._etag = stored.etag
        return current

    def _read(self) -> StoredObject | Unchanged | None:
        """Read by the URL at hand; one that is refused is signed anew, once, since the keys may have changed."""
        url, signed_now = self._url, False
        if url is None or time.monotonic() >= self._sign_at:
            url = self._url = self._sign()
            self._sign_at, signed_now = time.monotonic() + SIGN_AGAIN_AFTER_SECONDS, True
        try:
            return read_unless(url, CURRENT_KEY, MAX_DOCUMENT_BYTES, etag=self._etag)
        except StoreDenied:
            self._url = None
            if signed_now:
                raise
        return self._read()
