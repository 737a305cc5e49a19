"""A TCP proxy between two parts, which slows their connections down, cuts them, or puts garbage in their place."""

import asyncio
import random
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from deploy.ports import LOOPBACK

READ_BYTES = 65_536
GARBAGE_BYTES = 4_096


@dataclass(frozen=True)
class Treatment:
    """What becomes of the bytes of a connection.

    latency_seconds: waited before each piece that goes on, of at most READ_BYTES. bytes_per_second: 0 for any number.
    cut_within_bytes: the connection is cut at a random place before it has carried so many; 0 for never.
    garbage: whoever connects hears garbage in place of an answer, and whoever listens in place of a question; what a
    server says on a connection that is open turns into garbage.
    hole: nothing goes on as long as this lasts, and nobody is told.
    """

    latency_seconds: float = 0.0
    bytes_per_second: int = 0
    cut_within_bytes: int = 0
    garbage: bool = False
    hole: bool = False


GOOD = Treatment()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="proxies", daemon=True).start()
    return loop


def _call(function: Callable[[], None]) -> None:
    """Have the loop call a function, and wait for it."""

    async def call() -> None:
        function()

    asyncio.run_coroutine_threadsafe(call(), _loop()).result(10)


@dataclass(eq=False)
class _Connection:
    """Two sockets, and how many bytes they may still carry, None for any number."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    began: Treatment
    left_bytes: int | None = None

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Listens at `port` and goes on to `target`, both of loopback, while the block runs; `treat` changes how.

    tls: with which whoever connects is spoken to; None for none. What goes on is not encrypted.
    """

    port: int
    target: int
    chance: random.Random
    tls: ssl.SSLContext | None = None
    connections: int = field(default=0, init=False)
    """How many were taken in all."""
    treated: int = field(default=0, init=False)
    """How many pieces or connections were not treated well."""

    def __post_init__(self) -> None:
        self._treatment = GOOD
        self._open: set[_Connection] = set()
        self._changed = asyncio.Event()

    def __enter__(self) -> "Proxy":
        started = asyncio.start_server(self._take, LOOPBACK, self.port, ssl=self.tls)
        self._server = asyncio.run_coroutine_threadsafe(started, _loop()).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        def close() -> None:
            self._server.close()
            self._treatment = GOOD
            self._changed.set()
            self._abort()

        _call(close)

    def treat(self, treatment: Treatment) -> None:
        """Treat connections so from now on, those that are open, too."""

        def change() -> None:
            self._treatment = treatment
            for connection in self._open:
                connection.left_bytes = self._some_bytes()
            self._changed.set()
            self._changed = asyncio.Event()

        _call(change)

    def _abort(self) -> None:
        for connection in self._open:
            connection.abort()

    def _some_bytes(self) -> int | None:
        most = self._treatment.cut_within_bytes
        return self.chance.randrange(most) if most else None

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            onward_reader, onward_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((writer, onward_writer), self._treatment, self._some_bytes())
        self._open.add(connection)
        try:
            await asyncio.gather(
                self._carry(connection, reader, onward_writer, from_server=False),
                self._carry(connection, onward_reader, writer, from_server=True),
            )
        except OSError:
            pass  # One of both has gone.
        finally:
            connection.abort()
            self._open.discard(connection)

    async def _carry(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        while data := await reader.read(READ_BYTES):
            treatment = self._treatment
            if treatment is not GOOD:
                self.treated += 1
            while self._treatment.hole:
                await self._changed.wait()
            if treatment.garbage and (from_server or connection.began.garbage):
                data = self.chance.randbytes(self.chance.randrange(1, GARBAGE_BYTES))
            if treatment.latency_seconds or treatment.bytes_per_second:
                seconds = treatment.latency_seconds
                if treatment.bytes_per_second:
                    seconds += len(data) / treatment.bytes_per_second
                await self._unless_changed(seconds)
            if connection.left_bytes is not None:
                data, whole = data[: connection.left_bytes], len(data)
                connection.left_bytes -= len(data)
                if len(data) < whole:
                    writer.write(data)
                    await writer.drain()
                    connection.abort()
                    return
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()
            else:  # TLS ends both directions at once
                writer.close()

    async def _unless_changed(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
