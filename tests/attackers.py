"""Bad senders to an HTTP server, in a process of their own: python -m tests.attackers ATTACK PORT

Says `attacking` once all its connections are open, goes on until SIGTERM, for a minute at most, then prints as JSON how
often which answer came: a status, or `closed` where the connection was closed without one.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat

PAUSE_SECONDS = 0.01
LONGEST_SECONDS = 60
MIB = 1024 * 1024
HEAD = b"POST /?record=false HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CONNECTIONS = 8
# Three times a quiet machine's 99th percentile would be 3 ms or so, and on two cores, of which the attacker takes its
# share, the scheduler alone makes longer pauses.
FLOOR_SECONDS = 0.02
CONNECTING_AT_ONCE = 100


@dataclass(frozen=True)
class Attack:
    """What each of so many connections sends, piece after piece, `seconds` apart.

    answers: what may come of it, and of which something must; empty where it may go on for as long as it likes. A large
    body gets 408 where the machine is too busy for it, and the end of a connection may overtake that answer.
    """

    connections: int
    pieces: Callable[[], Iterator[bytes]]
    answers: frozenset[str]
    seconds: float = 0


def body(make: Callable[[], bytes]) -> Callable[[], Iterator[bytes]]:
    """Send a whole request; its body is made when it is sent for the first time."""

    @cache
    def whole() -> bytes:
        content = make()
        return HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content

    return lambda: iter([whole()])


def many(item: bytes, count: int) -> bytes:
    """Return the body of a batch."""
    return b'{"texts": [%s]}' % b",".join([item] * count)


def filling(item: bytes, size: int = 8 * MIB) -> bytes:
    """Return the body of a batch that is as large as it may be."""
    return many(item, (size - len(many(b"", 1))) // (len(item) + 1))


def begins(head: bytes, *pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([HEAD + head + b"\r\n\r\n", *pieces])


def answers(*expected: str) -> frozenset[str]:
    return frozenset(expected)


def slow_bodies(connections: int) -> Attack:
    return Attack(connections, begins(b"Content-Length: 100", b"{"), answers("408"))


SENTENCE = b'"The whole film was really superb for us, though the ending was rather dull to watch"'
GARBAGE = bytes(range(256)) * 64
BUSY = answers("408", "503", "closed")
ATTACKS = {
    "1 slow body": slow_bodies(1),
    "8 slow bodies": slow_bodies(8),
    "200 slow bodies": slow_bodies(200),
    "slow headers": Attack(
        200, lambda: chain([HEAD], repeat(b"X-a: b\r\n", 1_000)), answers("408", "closed"), seconds=0.2
    ),
    "2,000 idle connections": Attack(2_000, lambda: iter([]), answers()),
    "pipelined garbage": Attack(
        CONNECTIONS,
        lambda: iter([(HEAD + b"Content-Length: 4\r\n\r\n\xff{]\0") * 20 + GARBAGE]),
        answers("400", "closed"),
    ),
    "garbage": Attack(CONNECTIONS, lambda: iter([GARBAGE]), answers("400", "closed")),
    "huge announced bodies": Attack(CONNECTIONS, begins(b"Content-Length: 10000000000000", b"{"), answers("413")),
    "impossible announced bodies": Attack(
        CONNECTIONS, begins(b"Content-Length: 99999999999999999999999", b"{"), answers("400", "413", "closed")
    ),
    "chunked bodies without end": Attack(
        CONNECTIONS,
        lambda: chain(begins(b"Transfer-Encoding: chunked")(), repeat(b"10000\r\n" + b"x" * 65_536 + b"\r\n")),
        answers("408", "413", "503", "closed"),
    ),
    "chunks of one byte": Attack(
        CONNECTIONS,
        lambda: chain(begins(b"Transfer-Encoding: chunked")(), repeat(b"1\r\nx\r\n" * 10_000)),
        answers("400", "closed"),
    ),
    "trailers without end": Attack(
        CONNECTIONS,
        lambda: chain(begins(b"Transfer-Encoding: chunked", b"0\r\nX-a: ")(), repeat(b"x" * 65_536)),
        answers("400", "closed"),
    ),
    "8 MiB of numbers": Attack(2, body(lambda: filling(b"1")), BUSY | answers("400", "413")),
    "8 MiB of lists in lists": Attack(
        2,
        body(lambda: b'{"texts": %s' % (b"[" * (8 * MIB - 20))),
        answers("400", "408", "413", "503", "closed"),
    ),
    "8 MiB of objects, as many as may be": Attack(
        2,
        body(lambda: many(b'{"%s": 1}' % (b"x" * 800), 10_000)),
        answers("200", "408", "503", "closed"),
    ),
    "batches of 10,000 texts": Attack(1, body(lambda: many(SENTENCE, 10_000)), answers("200", "408", "503", "closed")),
    "batches of 8 MiB": Attack(
        1,
        body(lambda: filling(b'"' + b" ".join([SENTENCE[1:-1]] * 10) + b'"')),
        answers("200", "408", "503", "closed"),
    ),
}


class Attackers:
    """The connections of one attack; each is opened anew once it was answered or closed."""

    def __init__(self, attack: Attack, port: int) -> None:
        self._attack = attack
        self._port = port
        self._gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._opened = 0
        self.came: Counter[str] = Counter()

    async def run(self) -> None:
        """Attack until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._attack.connections):
                group.create_task(self._attacker())

    async def _attacker(self) -> None:
        first = True
        while True:
            async with self._gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            if first:
                self._has_opened()
            sending = asyncio.create_task(self._send(writer))
            try:
                self.came[await status(reader)] += 1
            finally:
                sending.cancel()
                writer.transport.abort()
            first = False
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for piece in self._attack.pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self._attack.seconds)

    def _has_opened(self) -> None:
        self._opened += 1
        if self._opened == self._attack.connections:
            say("attacking")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def status(reader: asyncio.StreamReader) -> str:
    """Return what comes of a request: its status, or `closed`."""
    with suppress(OSError):
        if words := (await reader.readline()).split():
            return words[1].decode()
    return "closed"


async def main(name: str, port: int) -> None:
    """Attack until SIGTERM."""
    signal.alarm(LONGEST_SECONDS)  # nobody may be left to end it
    attackers = Attackers(ATTACKS[name], port)
    task = asyncio.create_task(attackers.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    say(json.dumps(attackers.came))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
