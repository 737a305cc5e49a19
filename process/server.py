"""Runs a front on granian, in this very process.

granian, since its HTTP runs in Rust, outside of Python's lock, since it drains at a signal, and since it is kept well.
Its interface RSGI, since with it a body can be given up: by WSGI one that comes slowly holds a thread.
"""

import asyncio
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer
from granian.server.embed import Server
from granian.server.mt import MTServer

from process.front import Front, Limits
from process.settings import SettingsError

MAX_CONNECTIONS = 100_000
WAITING_CONNECTIONS = 1024
SILENT_SECONDS = 15
"""How long a client may take no part of its answer, until its connection is closed."""


class _OwnSocket(AbstractServer):  # type: ignore[type-arg]
    """Makes its socket itself, so that it can be set."""

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()  # type: ignore[no-untyped-call]
        sockets: dict[str, Any] = vars(self)  # of a class without types
        holder: SocketHolder = sockets["_shd"] or sockets["_ssp"].build()
        sockets |= {"_shd": holder, "_ssp": None}
        # Each connection has what its listener has.
        with socket.socket(fileno=os.dup(holder.get_fd())) as listener:
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux's alone
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
            listener.listen(WAITING_CONNECTIONS)  # so that nobody is refused from now on


class _ThreadServer(_OwnSocket, MTServer):
    """granian's thread server, allowed on a Python with a GIL.

    The usual server forks a worker process, which for one worker costs 20 MB and the start-up of a second
    interpreter and buys nothing: HTTP runs in Rust outside the GIL either way, and a container's restart
    policy supervises the process.
    """

    def _check_gil(self) -> None:
        """Skip the check: threads of one worker are right with a GIL too."""

    def serve(self, *arguments: Any, **options: Any) -> None:
        AbstractServer.serve(self, *arguments, **options)


class _EmbeddedServer(_OwnSocket, Server):
    """granian's server for an event loop that runs already."""


def serve(front: Front) -> None:
    """Serve on LISTEN_HOST:LISTEN_PORT until SIGTERM or SIGINT, then answer what is in hand and return.

    Raises SettingsError.
    """
    options = _options(front, *front.address)
    # While a batch is scored, the thread that brings requests gets Python's lock only once it has waited for so long
    # since the lock was last free for a moment: with the usual 5 ms never, until the batch is done.
    sys.setswitchinterval(0.0001)
    _ThreadServer("front", workers=1, **options).serve(target_loader=lambda: front, wrap_loader=False)


def serve_probes(not_ready: Callable[[], str | None], default_port: int) -> None:
    """Answer probes on LISTEN_HOST:LISTEN_PORT in a thread, in a process that serves nothing else over HTTP.

    Raises SettingsError.
    """
    front = Front(not_ready, Limits.of(1), default_port=default_port)
    serve_in_thread(front, *front.address)


def serve_in_thread(front: Front, address: str, port: int) -> Callable[[], None]:
    """Return once it is served; what is returned ends that, when it is called. Raises SettingsError."""
    options = _options(front, address, port)
    started: Future[Callable[[], object]] = Future()

    async def main() -> None:
        server = _EmbeddedServer(front, **options)
        end = partial(asyncio.get_running_loop().call_soon_threadsafe, server.stop)
        server.on_startup(lambda: started.set_result(end))
        await server.serve()

    def stop() -> None:
        end()
        thread.join()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="front", daemon=True)
    thread.start()
    end = started.result(timeout=10)
    return stop


def _options(front: Front, address: str, port: int) -> dict[str, Any]:
    """Return how granian is to serve; raises SettingsError where the address can't be had."""
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        raise SettingsError(f"LISTEN_PORT must be a free port of LISTEN_HOST: {address}:{port}: {error}") from error
    # Each connection is an open file.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return {
        "address": address,
        "port": port,
        "interface": Interfaces.RSGI,
        "http": HTTPModes.http1,
        "http1_settings": HTTP1Settings(header_read_timeout=int(front.limits.body_timeout_seconds * 1000)),
        "backlog": WAITING_CONNECTIONS,
        # granian counts connections, not requests: with its usual 1,024, so many idle ones would keep all others out.
        "backpressure": MAX_CONNECTIONS,
        "log_level": LogLevels.error,
        "websockets": False,
    }
