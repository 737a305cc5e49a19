"""What is served, as one process reads it again and again."""

import threading

from contracts.manifest import Promotion
from model_store.errors import CurrentRefused, Distrusted
from model_store.layout import Current
from model_store.trust import Trust, later
from model_store.versions import StoredObject


class CurrentReader:
    """Reads current.json again and again, and refuses one that is older than what it has read before; for any thread.

    It remembers nothing beyond its process: the first one that it reads may be an old one.
    """

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._lock = threading.Lock()
        self._newest: Promotion | None = None

    @property
    def newest(self) -> Promotion | None:
        """The newest promotion that was believed."""
        return self._newest

    def read(self, stored: StoredObject, known: Promotion | None) -> Current:
        """Return what current.json says; raises CurrentRefused.

        known: `newest` as it was before the object was asked for. Another thread may have read a newer one meanwhile.
        """
        current = Current.from_bytes(stored.content, stored.etag, self._trust)
        try:
            self._trust.check_order(current.promotion, known)
        except Distrusted as error:
            raise CurrentRefused(str(error), etag=stored.etag, version=current.version, untrusted=True) from error
        with self._lock:
            if self._newest is None or later(current.promotion, self._newest):
                self._newest = current.promotion
        return current
