"""A lock between processes that ends with its holder, for brokers that choose no active reader themselves."""

import threading

from messages.amqp import Connection
from messages.ports import BrokerUnavailable


def lock_queue(stream: str) -> str:
    """Return the name of the queue that is the lock of a stream."""
    return f"{stream}.reader"


class ReaderLock:
    """The right to read a stream alone: an exclusive queue, which the broker deletes when its connection ends."""

    def __init__(self, url: str, stream: str) -> None:
        """Lock `stream` at the broker with that AMQP URL."""
        self._url = url
        self._queue = lock_queue(stream)
        self._connection: Connection | None = None
        self._changed = threading.Condition()

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._connection is not None and not self._connection.closed

    def acquire(self) -> bool:
        """Return whether it is held now; raises BrokerUnavailable."""

        def declare(connection: Connection) -> None:
            connection.channel.queue_declare(self._queue, exclusive=True, callback=lambda _: connection.ready.set())

        if not self.held:
            try:
                self._connection = Connection(self._url, self._queue, declare, self._changed)
            except BrokerUnavailable as error:
                if "RESOURCE_LOCKED" not in str(error):
                    raise
        return self.held

    def release(self) -> None:
        """Give it up."""
        if self._connection:
            self._connection.close()
            self._connection = None
