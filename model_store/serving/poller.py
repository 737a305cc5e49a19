"""Asking what is served, cheaply: a conditional GET of current.json."""

from model_store.layout import CURRENT_KEY, MAX_DOCUMENT_BYTES, Current
from model_store.serving.reader import StoreReader, Unchanged


class CurrentPoller:
    """Reads current.json, and the second time only whether it changed; for one thread."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._etag: str | None = None

    def poll(self) -> Current | Unchanged | None:
        """Return what is served, Unchanged since the last poll, or None before the first promotion.

        Raises StoreUnavailable (network, 5xx), StoreDenied (no keys, 401, 403), InvalidDocument (not a current.json).
        """
        stored = self._reader.get_unless(CURRENT_KEY, MAX_DOCUMENT_BYTES, etag=self._etag)
        match stored:
            case Unchanged():
                return stored
            case None:
                self._etag = None
                return None
        current = Current.from_bytes(stored.content, stored.etag)
        self._etag = stored.etag
        return current
