"""Runs a service while a test or a benchmark needs it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from deploy.runner import Service, ServiceError, launch, tail, wait_until, wait_until_ready

# Of a process whose lines are traced, nothing that is measured is true.
UNTRACED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}


@contextmanager
def running(service: Service, timeout_seconds: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service in a process group of its own; yields when it is ready, stops all of it at the end.

    Raises ServiceError, with the end of its log, when it ends or is not ready in time.
    """
    # A predecessor that was just killed may still hold the port, and would pass for this one.
    if not wait_until(lambda: not service.ready(), timeout_seconds=5):
        raise ServiceError(f"{service.name}: something else answers at its address already")
    process = launch(service, os.environ)

    def ended() -> str | None:
        return None if process.poll() is None else f"{service.name} ended with status {process.returncode}"

    try:
        wait_until_ready(service.name, service.ready, timeout_seconds, failed=ended, explain=lambda: tail(service.log))
        yield process
    finally:
        stop(process)


@dataclass
class Part:
    """A part of the system as a process group, which is started as often as a test likes."""

    service: Service
    start_timeout_seconds: float = 60
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _running: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def runs(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        """Returns when it is ready."""
        self.process = self._running.enter_context(running(self.service, self.start_timeout_seconds))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        assert self.process
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.signal(signal.SIGKILL)
        self.close()

    def terminate(self, timeout_seconds: float = 60) -> int:
        """Ends it as an orchestrator would; returns its status."""
        assert self.process
        self.process.terminate()
        status = self.process.wait(timeout_seconds)
        self.close()
        return status

    def close(self) -> None:
        """End it in the end, where it runs."""
        self._running.close()
        self.process = None

    def log(self) -> str:
        return self.service.log.read_text(errors="replace")


def stop(process: subprocess.Popen[bytes], timeout_seconds: float = 15) -> None:
    """End a process and its whole group: SIGTERM first, SIGKILL for what is left after the timeout."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_seconds)
    # Nobody may be left; macOS says "permission" of a group that has only zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
