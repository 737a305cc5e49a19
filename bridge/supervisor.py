"""Keeps every pipeline running by itself: one that ends, or whose source is not there, stops no other."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

from prometheus_client import Counter

from bridge.pipeline import Pipeline, count_retry
from messages.ports import BrokerUnavailable, Source

logger = logging.getLogger(__name__)

FAILURES = Counter("bridge_pipeline_failures", "Times that a pipeline ended by itself and was begun again", ["source"])


class Input(NamedTuple):
    """Something that is read.

    find: returns its sources, one for each partition; raises BrokerUnavailable.
    pipeline: returns a pipeline for a source that runs until the event is set.
    """

    name: str
    find: Callable[[], Sequence[Source]]
    pipeline: Callable[[Source, threading.Event], Pipeline]


class Supervisor:
    """The pipelines of all inputs. `look`, called every few seconds, begins those that do not run."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        """Begin with nothing found."""
        self._missing = [*inputs]
        self._runs: list[_Run] = []
        self.sources: set[str] = set()
        """The names of the sources that were found: streams, partitions, queues."""

    def not_ready(self) -> str | None:
        """Return which sources are neither read nor waited for, None if all are."""
        missing = [each.name for each in self._missing]
        missing += [run.pipeline.name for run in self._runs if not run.connected]
        return f"not reading {', '.join(missing)} yet" if missing else None

    def look(self) -> None:
        """Begin the pipelines of inputs whose sources are there now, and again those that ended by themselves."""
        for each in [*self._missing]:
            try:
                sources = each.find()
            except BrokerUnavailable as error:
                count_retry(type(error).__name__)
                logger.warning("%s: %s; looked for again soon", each.name, error)
                continue
            self.sources |= {source.name for source in sources}
            self._runs += [_Run(source, each.pipeline) for source in sources]
            self._missing.remove(each)
        for run in self._runs:
            run.look()

    def measure_lag(self) -> None:
        """Measure how far each pipeline is behind."""
        for run in self._runs:
            run.pipeline.measure_lag()

    def stop(self, timeout_seconds: float) -> None:
        """Have all pipelines finish what is in hand, and return when they have, or after the time."""
        for run in self._runs:
            run.pipeline.stop.set()
        wait([run.ended for run in self._runs], timeout_seconds)

    def join(self) -> None:
        """Return when all pipelines have ended; raises what one of them ended by."""
        for run in self._runs:
            run.ended.result()


class _Run:
    """A source, and the pipeline that reads it now."""

    def __init__(self, source: Source, make: Callable[[Source, threading.Event], Pipeline]) -> None:
        self._source = source
        self._make = make
        self._pool = ThreadPoolExecutor(1, f"{source.name}-pipeline")
        self._failing = False
        self._failures = FAILURES.labels(source.name)
        self._begin()

    @property
    def connected(self) -> bool:
        """Whether the source is read or waited for, and has been for a while where the pipeline failed."""
        return self.pipeline.connected and not self._failing

    def _begin(self) -> None:
        self.pipeline = self._make(self._source, threading.Event())
        self.ended = self._pool.submit(self.pipeline.run)

    def look(self) -> None:
        """Begin anew where the pipeline has ended; it says so in the log where it knows why."""
        self._failing = self.ended.done()
        if self._failing:
            self._failures.inc()
            logger.critical(
                "%s: the pipeline has ended and begins anew", self.pipeline.name, exc_info=self.ended.exception()
            )
            self._begin()
