"""Runs a WSGI app on granian in this very process, and drains on SIGTERM."""

from typing import Any

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.common import AbstractServer
from granian.server.mt import MTServer

from process.web import FunctionApp


class InProcessServer(MTServer):
    """granian's thread server, allowed on a Python with a GIL.

    The usual server forks a worker process, which for one worker costs 20 MB and the start-up of a second
    interpreter and buys nothing: HTTP runs in Rust outside the GIL either way, and a container's restart
    policy supervises the process.
    """

    def _check_gil(self) -> None:
        """Skip the check: threads of one worker are right with a GIL too."""

    def serve(self, *arguments: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT; requests in hand are answered before this returns."""
        AbstractServer.serve(self, *arguments, **options)


def serve(app: FunctionApp, *, blocking_threads: int = 1) -> None:
    """Serve `app` on its address until SIGTERM or SIGINT, then answer what is in hand and return.

    blocking_threads: threads that run Python; one is fastest where an answer never waits for anything.
    """
    address, port = app.address
    InProcessServer(
        "app",
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=blocking_threads,
        log_level=LogLevels.warning,
        websockets=False,
    ).serve(target_loader=lambda: app, wrap_loader=False)
