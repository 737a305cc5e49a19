"""Serves a front: listens, ends what does not come in time, and drains when it is told to stop."""

import asyncio
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate

from prometheus_client import Gauge

from process.front import REFUSED, Front, Limits
from process.http1 import Connection
from process.settings import SettingsError, number

WAITING_CONNECTIONS = 1024
MOST_CONNECTIONS = 2_500
"""Each may have a head and a small body that no budget counts: some 40 kB at the worst."""
OTHER_FILES = 100
BUFFER_BYTES = 128 * 1024
SILENT_SECONDS = 15
"""How long a client may take no part of its answer, until its connection is closed."""
LONGEST_SWEEP_SECONDS = 0.25

RECEIVED = Gauge("http_body_bytes", "Bytes of large bodies that are received and not answered yet")
BUDGET = Gauge("http_body_budget_bytes", "How many there may be of these; of one more the request is refused")


class Server:
    """What the connections of one front share; `due` says until when something must have come over a connection."""

    def __init__(self, front: Front) -> None:
        """Serve `front`."""
        self.front = front
        self.connections: dict[Connection, None] = {}
        self._most_connections = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES)
        self.due: dict[Connection, float] = {}
        self.received_bytes = 0
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self.is_ending = False  # each answer is the last one of its connection
        self.is_draining = False  # what is not in hand is not taken any more
        self._front_headers = "".join(f"{name}: {value}\r\n" for name, value in front.headers.items())
        self.headers = self._front_headers  # of every answer, as they are sent; the date is soon with them
        self._has_gone = asyncio.Event()
        RECEIVED.set_function(lambda: self.received_bytes)
        BUDGET.set(front.limits.body_budget_bytes)

    def time(self) -> float:
        """Return the time of `due`, in seconds."""
        return asyncio.get_running_loop().time()

    async def serve(
        self, address: str, port: int, stop: asyncio.Event, started: Callable[[], None], *, delay_seconds: float = 0.0
    ) -> None:
        """Serve until `stop` is set, then answer what is in hand; raises SettingsError without the address.

        started: called once it is served. delay_seconds: how long it is served after `stop`, too.
        """
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), address, port, backlog=WAITING_CONNECTIONS
            )
        except OSError as error:
            raise SettingsError(f"LISTEN_PORT must be a free port of LISTEN_HOST: {address}:{port}: {error}") from error
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's alone
            for listener in server.sockets:  # each connection has what its listener has
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
        sweeping = asyncio.create_task(self._sweep())
        started()
        await stop.wait()
        self.is_ending = True
        # Whoever routes requests here learns of the end at the same time, and until then goes on.
        await asyncio.sleep(delay_seconds)
        server.close()
        self.is_draining = True
        for _ in range(2):  # what has come already is read: in the loop's next turn, after this task
            await asyncio.sleep(0)
        for connection in tuple(self.connections):
            connection.drain()
        while self.connections:
            self._has_gone.clear()
            await self._has_gone.wait()
        sweeping.cancel()

    def take(self, connection: Connection) -> None:
        """Serve one more; where there are too many, the oldest idle one goes, or who has taken longest to send."""
        if len(self.connections) >= self._most_connections:
            REFUSED.labels("connections").inc()
            idle = (each for each in self.connections if each.is_idle)
            gone = next(idle, None) or next(iter(self.due), connection)
            self.forget(gone)
            gone.give_up()
        self.connections[connection] = None

    def forget(self, connection: Connection) -> None:
        """Have nothing more to do with a connection that is closed."""
        self.connections.pop(connection, None)
        self.due.pop(connection, None)
        self._has_gone.set()

    async def _sweep(self) -> None:
        """Tell the date in all answers, and end what did not come in time."""
        while True:
            self.headers = f"date: {formatdate(usegmt=True)}\r\n{self._front_headers}"
            now = self.time()
            for connection in [each for each, due in self.due.items() if due <= now]:
                del self.due[connection]
                connection.time_out()
            await asyncio.sleep(min(LONGEST_SWEEP_SECONDS, self.front.limits.body_timeout_seconds / 10))


def serve(front: Front) -> None:
    """Serve on LISTEN_HOST:LISTEN_PORT until SIGTERM or SIGINT, then answer what is in hand and return.

    After the signal it is served for SHUTDOWN_DELAY_SECONDS more. Raises SettingsError.
    """
    delay_seconds = number("SHUTDOWN_DELAY_SECONDS", 0, least=0, most=60)
    _allow_many_files()
    # A thread that works gives way to the event loop after so long: with the usual 5 ms whoever asks waits for that.
    sys.setswitchinterval(0.0001)

    async def main() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await Server(front).serve(*front.address, stop, lambda: None, delay_seconds=delay_seconds)

    asyncio.run(main())


def serve_probes(not_ready: Callable[[], str | None], default_port: int) -> None:
    """Answer probes on LISTEN_HOST:LISTEN_PORT in a thread, in a process that serves nothing else over HTTP.

    Raises SettingsError.
    """
    front = Front(not_ready, Limits.of(1), default_port=default_port)
    serve_in_thread(front, *front.address)


def serve_in_thread(front: Front, address: str, port: int) -> Callable[[], None]:
    """Return once it is served; what is returned ends that, when it is called. Raises SettingsError."""
    _allow_many_files()
    started: Future[Callable[[], object]] = Future()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        await Server(front).serve(
            address, port, stop, lambda: started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
        )

    def run() -> None:
        try:
            asyncio.run(main())
        except SettingsError as error:
            started.set_exception(error)

    def end() -> None:
        if thread.is_alive():
            stop()
        thread.join()

    thread = threading.Thread(target=run, name="front", daemon=True)
    thread.start()
    stop = started.result(timeout=10)
    return end


def _allow_many_files() -> None:
    """Each connection is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
