"""How far a stream is done, kept in the records: for one bridge at a time, and for one life of the stream."""

import logging
import secrets
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Counter

from contracts.records import StoredOffset
from messages.ports import Epoch, Position, Progress, Superseded
from process.retry import Retry
from records import RecordsUnavailable, now

logger = logging.getLogger(__name__)

MISSED = Counter("bridge_missed_messages", "Messages that the broker dropped before they were read", ["source"])


class OffsetStore(Protocol):
    """Where offsets are remembered. Its methods raise RecordsUnavailable."""

    def take_offset(self, stream: str, owner: str) -> StoredOffset | None:
        """Have `owner`, and no other, store the offset of a stream from now on; returns the one stored, if any."""

    def store_offset(self, stored: StoredOffset, owner: str, last: int | None) -> bool:
        """Remember how far a stream is done; returns False, and does nothing, where it is not as `owner` left it.

        last: the offset that `owner` has found or stored last, None where there was none.
        """

    def received_at(self, identifier: str) -> datetime | None:
        """Return when the message was received whose record has that id, None without one."""


class StreamProgress(Progress):
    """The progress of one bridge on one stream."""

    def __init__(self, stream: str, store: OffsetStore, retry: Retry) -> None:
        """Keep the progress on `stream` in `store`."""
        self.offset = -1
        """The last offset that is done."""
        self._stream = stream
        self._missed = MISSED.labels(stream)
        self._store = store
        self._retry = retry
        self._owner = ""
        self._known: Position | None = None
        self._stored: int | None = None

    def take(self) -> Position | None:
        """Become the one who stores, and return where to read on; raises Abandoned."""
        self._owner = secrets.token_hex(8)
        stored = self._retry(lambda: self._store.take_offset(self._stream, self._owner), RecordsUnavailable)
        self._known = None
        self._stored = stored.offset if stored else None
        self.offset = -1
        if stored:
            epoch = Epoch(stored.epoch, stored.key_prefix or self._stream)
            self._known = Position(stored.offset, stored.chunk_time, epoch)
            self.offset = stored.offset
        logger.info("%s: reading behind offset %s", self._stream, stored and stored.offset)
        return self._known

    def begin(self, first_offset: int, began_at: int) -> Epoch:
        """Return the epoch of a stream that begins there, and say so where another one had its name before.

        Raises Abandoned.
        """
        anew = f"{self._stream}:{began_at}"
        if self._known or self._recorded(anew, first_offset):
            prefix = anew
        else:
            # Without a stored offset, a record that is older than the message at its offset is of another stream.
            earlier = self._recorded(self._stream, first_offset)
            prefix = anew if earlier and earlier < datetime.fromtimestamp(began_at / 1000, UTC) else self._stream
        if prefix == anew:
            logger.warning(
                "%s was made anew: it is read from offset %d, and ids begin with %s", self._stream, first_offset, anew
            )
        self.offset = first_offset - 1
        return Epoch(began_at, prefix)

    def missed(self, first: int, after: int) -> None:
        """Count messages that are gone, and say which."""
        self._missed.inc(after - first)
        logger.error(
            "%s: the broker has dropped offsets %d to %d before they were read: %d messages are missed",
            self._stream,
            first,
            after - 1,
            after - first,
        )

    def store(self, position: Position) -> None:
        """Remember that all up to `position` is done; raises Superseded where this is another's to say, Abandoned.

        So it is where another bridge reads on, and where the database was emptied or restored: then what it says now is
        where to read on.
        """
        epoch = position.epoch
        stored = StoredOffset(
            id=self._stream,
            offset=position.offset,
            chunk_time=position.chunk_time,
            epoch=epoch.began_at,
            key_prefix=epoch.key_prefix,
            stored_at=now(),
        )
        if not self._retry(lambda: self._store.store_offset(stored, self._owner, self._stored), RecordsUnavailable):
            raise Superseded(f"{self._stream}: another bridge reads it, or its offset was deleted or restored")
        self.offset = self._stored = position.offset

    def _recorded(self, prefix: str, offset: int) -> datetime | None:
        return self._retry(lambda: self._store.received_at(f"{prefix}:{offset}"), RecordsUnavailable)
