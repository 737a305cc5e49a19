"""Turns: one at a time, in the order of asking, and none that waits for too long or among too many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoTurn(Exception):
    """There was no turn in time, or too many wait for one already."""


class Turns:
    """What one at a time may do, on one event loop; those who wait cost memory, so they are bounded."""

    def __init__(self, *, most_waiting: int, wait_seconds: float) -> None:
        """most_waiting: how many may wait; wait_seconds: how long each."""
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def taken(self) -> bool:
        """Whether somebody has the turn."""
        return self._lock.locked()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the turn for as long as it is held; raises NoTurn."""
        if self._waiting >= self._most_waiting:
            raise NoTurn
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._lock.acquire()
        except TimeoutError as error:
            raise NoTurn from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()
