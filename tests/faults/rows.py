"""The rows of the table in docs/reliability.md: which faults befall which parts."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.nemesis import Fault, Row
from tests.faults.stage import Stage
from tests.running import Part

Which = Callable[[Stage], Part]
PARTS: dict[str, Which] = {
    "bridge": lambda stage: stage.bridge,
    "predict": lambda stage: stage.predict,
    "retrain": lambda stage: stage.retrain,
    "gateway": lambda stage: stage.gateway,
    "broker": lambda stage: stage.servers.broker,
    "database": lambda stage: stage.servers.database,
    "store": lambda stage: stage.servers.store,
}


@contextmanager
def killed(part: Part) -> Iterator[None]:
    """It dies as in a crash, and is started again at the end."""
    part.kill()
    yield
    part.start()


@contextmanager
def terminated(part: Part) -> Iterator[None]:
    """It is ended as orchestrators do, and started again at the end."""
    part.terminate()
    yield
    part.start()


@contextmanager
def stopped(part: Part) -> Iterator[None]:
    """It stands still, and its connections stay open."""
    part.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        part.signal(signal.SIGCONT)


def rows() -> list[Row]:
    """Return all rows, in the order of the table."""
    return [*died()]


def died() -> Iterator[Row]:
    for name, part in PARTS.items():
        yield Row(f"kill -9 of {name}", on(killed, part), times=3, in_ci=name in ("bridge", "predict", "broker"))
        yield Row(f"SIGTERM of {name}", on(terminated, part), times=2, in_ci=name in ("bridge", "predict"))
        # Longer than two heartbeats of 30 s, and than any other time limit.
        yield Row(f"SIGSTOP of {name} for 75 s", on(stopped, part), seconds=75)


def on(fault: Callable[[Part], AbstractContextManager[None]], part: Which) -> Fault:
    """Return the fault of one part."""
    return lambda stage: fault(part(stage))
