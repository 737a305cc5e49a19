"""What services cost: the memory and the processor time of all processes of one."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

Processes = Sequence[psutil.Process]


@dataclass(frozen=True)
class Memory:
    """What processes take together, in MB: proportional and resident set size."""

    pss: float
    rss: float


def tree(pid: int) -> Processes:
    """Return a process and all that it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def listening_on(port: int) -> Processes:
    """Return all processes of the service that listens on `port`; a service is started in a session of its own."""
    listener = next(
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
    )
    return tree(os.getsid(listener or 0))


def memory(processes: Processes) -> Memory:
    """Return what they take now."""
    found = [each.memory_full_info() for each in processes]
    return Memory(sum(each.pss for each in found) / 1e6, sum(each.rss for each in found) / 1e6)


@dataclass(frozen=True)
class Reading:
    """The clock, and the processor time that services had taken by then, in seconds."""

    at: float
    used: Mapping[str, float]

    @classmethod
    def now(cls, services: Mapping[str, Processes]) -> "Reading":
        """Read the clock, then each service."""
        at = time.perf_counter()
        return cls(at, {name: _seconds(processes) for name, processes in services.items()})

    def microseconds_until(self, later: "Reading", messages: int) -> dict[str, float]:
        """Return what each service took from this reading to a later one, a message."""
        return {name: (later.used[name] - used) / messages * 1e6 for name, used in self.used.items()}


def _seconds(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
