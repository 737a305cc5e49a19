"""The rows of the table in docs/reliability.md: which faults befall which parts."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.nemesis import Fault, Row
from tests.faults.proxy import GOOD, Proxy, Treatment
from tests.faults.senders import odd_messages, odd_replies, odd_requests, slow_senders
from tests.faults.stage import LINKS, Stage, faketime
from tests.faults.states import (
    SMALL_STREAM_BYTES,
    bad_versions,
    emptied,
    full,
    jumped,
    made_anew,
    trained_again_and_again,
    truncated,
)
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


TREATMENTS: dict[str, tuple[Treatment, float]] = {
    # A bad line: a tenth of a second each way, and 100 kB/s.
    "slow": (Treatment(latency_seconds=0.1, bytes_per_second=100_000), 10),
    "cut": (Treatment(cut_within_bytes=50_000), 10),
    "garbage": (Treatment(garbage=True), 10),
    # Longer than two heartbeats of 30 s, and than any other time limit.
    "silent": (Treatment(hole=True), 75),
}


@contextmanager
def treated(proxy: Proxy, treatment: Treatment) -> Iterator[None]:
    """Connections through a proxy are treated so."""
    before = proxy.treated
    proxy.treat(treatment)
    try:
        yield
    finally:
        proxy.treat(GOOD)
        assert proxy.treated > before, "nothing went through there"


def rows() -> list[Row]:
    """Return all rows, in the order of the table."""
    return [*died(), *came_between(), *filled(), *shared(), *changed(), *sent()]


def died() -> Iterator[Row]:
    for name, part in PARTS.items():
        yield Row(f"kill -9 of {name}", on(killed, part), times=3, in_ci=name in ("bridge", "broker"))
        yield Row(f"SIGTERM of {name}", on(terminated, part), times=2)
        # Longer than two heartbeats of 30 s, and than any other time limit.
        yield Row(f"SIGSTOP of {name} for 75 s", on(stopped, part), seconds=75)


def came_between() -> Iterator[Row]:
    for kind, (treatment, seconds) in TREATMENTS.items():
        for link in LINKS:
            name, fault = f"{kind} connections {link}", between(link, treatment)
            yield Row(
                name, fault, seconds, in_ci=(kind, link) == ("garbage", "bridge-database"), stage={"link_names": [link]}
            )


def filled() -> Iterator[Row]:
    # RabbitMQ's alarm is at 50 MB, and it looks every few seconds.
    yield Row("disk of the broker nearly full", disk_is_full("broker", 20_000_000), 20, disk="broker", missing=no_root)
    yield Row("disk of the database full", disk_is_full("database", 0), 10, disk="database", missing=no_root)


def no_root() -> str:
    return "" if sys.platform == "linux" and os.geteuid() == 0 else "a disk of its own takes root on Linux"


def no_faketime() -> str:
    return "" if faketime() else "libfaketime is not installed: apt-get install faketime"


def shared() -> Iterator[Row]:
    two = {"bridges": 2}
    yield Row("two bridges, kill -9 of the reader", lambda stage: killed(reader(stage)), times=3, in_ci=True, stage=two)
    yield Row("two bridges, SIGSTOP of the reader for 75 s", lambda stage: stopped(reader(stage)), 75, stage=two)
    two = {"retrains": 2}
    yield Row("two retrains at once", trained_again_and_again, 5, in_ci=True, stage=two)
    yield Row("two retrains, kill -9 of one", on(killed, PARTS["retrain"]), times=3, stage=two)


def changed() -> Iterator[Row]:
    each = {"RETRAIN_AFTER": "1", "POLL_SECONDS": "0.1"}
    yield Row("a promotion at each label", trained_again_and_again, 5, stage={"settings": each})
    by_hand = {"RETRAIN_AFTER": "1000000"}
    yield Row("half-written and forged models", bad_versions, in_ci=True, stage={"settings": by_hand})
    yield Row("stream deleted and made anew", made_anew)
    yield Row("stream truncated while the bridge is away", truncated, stage={"max_bytes": SMALL_STREAM_BYTES})
    # Without training: what is scored again would be by another model, beside answers that stay in `predictions`.
    yield Row("MongoDB emptied", emptied, in_ci=True, stage={"settings": by_hand})
    faked = {"faked_clock": True}
    yield Row("clock an hour ahead", lambda stage: jumped(stage, 3600), 5, stage=faked, missing=no_faketime)
    yield Row("clock an hour behind", lambda stage: jumped(stage, -3600), 5, stage=faked, missing=no_faketime)


def sent() -> Iterator[Row]:
    yield Row("senders with slow bodies", slow_senders, 5, in_ci=True)
    yield Row("senders of odd requests", odd_requests, 5)
    yield Row("senders of odd messages", odd_messages, in_ci=True)
    yield Row("senders with odd reply queues", odd_replies, in_ci=True)


def disk_is_full(server: str, left_bytes: int) -> Fault:
    """Return the fault of a disk that has so many bytes left, with one of the servers on it."""
    return lambda stage: full(stage, PARTS[server](stage), left_bytes)


def reader(stage: Stage) -> Part:
    """Return the bridge that reads the reviews."""
    return max(stage.all_bridges, key=lambda bridge: bridge.metric("bridge_offset").get(stage.name, -1))


def between(link: str, treatment: Treatment) -> Fault:
    """Return the fault of the connections between two parts."""
    return lambda stage: treated(stage.links[link], treatment)


def on(fault: Callable[[Part], AbstractContextManager[None]], part: Which) -> Fault:
    """Return the fault of one part."""
    return lambda stage: fault(part(stage))
