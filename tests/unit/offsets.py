"""Offsets in memory, and a retry that does not wait, for tests of what is built on them."""

import threading
from collections.abc import Callable
from datetime import datetime

from bridge.progress import OffsetStore
from contracts.records import StoredOffset
from process.retry import Abandoned, Result, Retry
from records import RecordsUnavailable


class MemoryOffsets(OffsetStore):
    """The offset of one stream; can be taken away for a number of calls."""

    def __init__(self) -> None:
        """Begin with none, and without records."""
        self.owner = ""
        self.document: StoredOffset | None = None
        self.stored: list[int] = []
        self.received: dict[str, datetime] = {}
        self.failures = 0

    def take_offset(self, stream: str, owner: str) -> StoredOffset | None:  # noqa: ARG002 - there is one stream
        self.check()
        self.owner = owner
        return self.document

    def store_offset(self, stored: StoredOffset, owner: str, last: int | None) -> bool:
        self.check()
        if owner != self.owner or (self.document and self.document.offset) not in (last, stored.offset):
            return False
        self.document = stored
        self.stored.append(stored.offset)
        return True

    def received_at(self, identifier: str) -> datetime | None:
        self.check()
        return self.received.get(identifier)

    def check(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RecordsUnavailable("away for a test")


class HastyRetry(Retry):
    """Tries again at once."""

    def __init__(self, give_up: threading.Event | None = None) -> None:
        """Try until `give_up` is set."""
        self.gives_up = give_up or threading.Event()
        super().__init__(self.gives_up)

    def __call__(self, operation: Callable[[], Result], *errors: type[Exception]) -> Result:
        while True:
            try:
                return operation()
            except errors as error:
                if self.gives_up.is_set():
                    raise Abandoned from error
