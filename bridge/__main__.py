"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import gc
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple, Self

from prometheus_client import Counter

from bridge.functions import Function
from bridge.handlers import LabelHandler, ReviewHandler
from bridge.pipeline import Handler, Pipeline, count_retry
from bridge.progress import StreamProgress
from bridge.settings import Settings, StreamInput
from contracts.names import PREDICTIONS
from messages.ports import Appender, BrokerUnavailable, Publisher, Source
from messages.publisher import AmqpPublisher
from messages.stream_publisher import StreamPublisher
from process.retry import Abandoned, Retry
from process.run import run, stop_at_signal
from process.server import serve_probes
from records import Records, RecordsUnavailable

LAG_SECONDS = 5.0
UNROUTABLE = Counter("bridge_unroutable_replies", "Replies whose reply_to does not exist")
logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings()
    stop, signalled, give_up = threading.Event(), threading.Event(), threading.Event()
    stop_at_signal(stop, then=signalled.set)
    records = Records.from_environment()
    publisher = AmqpPublisher(settings.rabbitmq_url, on_unroutable=count_unroutable)
    predictions = StreamPublisher(settings.rabbitmq_stream_url, PREDICTIONS)
    pipelines: list[Pipeline] = []
    serve_probes(lambda: not_ready(pipelines), default_port=8081)
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    until_stopped = Retry(stop, on_retry=count_retry)
    try:
        until_stopped(settings.declare, BrokerUnavailable)
        until_stopped(records.ensure_indexes, RecordsUnavailable)
        sources = until_stopped(lambda: Sources.of(settings), BrokerUnavailable)
    except Abandoned:
        return 0
    pipelines += wire(settings, sources, records, publisher, predictions, Retry(give_up, on_retry=count_retry), stop)
    # Ten thousand messages in hand are no garbage: looking through them at every 700 new objects, Python's default, is
    # a tenth of the throughput.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with ThreadPoolExecutor(len(pipelines), "pipeline") as pool:
        running = [pool.submit(pipeline.run) for pipeline in pipelines]
        while not stop.wait(LAG_SECONDS):
            for pipeline in pipelines:
                pipeline.measure_lag()
        logger.info("finishing what is in hand, for at most %g s", settings.drain_seconds)
        wait(running, settings.drain_seconds)
        give_up.set()
    for ended in running:
        ended.result()
    publisher.close()
    predictions.close()
    records.close()
    logger.info("stopped")
    return 0 if signalled.is_set() else 1


class Sources(NamedTuple):
    """What is read: the partitions of the reviews, and the labels, if they are read."""

    reviews: list[Source]
    labels: list[Source]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Ask the broker what there is; raises BrokerUnavailable."""
        labels = StreamInput(settings.labels).sources(settings) if settings.labels else []
        return cls(settings.reviews.sources(settings), labels)


def wire(
    settings: Settings,
    sources: Sources,
    records: Records,
    publisher: Publisher,
    predictions: Appender,
    retry: Retry,
    stop: threading.Event,
) -> list[Pipeline]:
    """Return the pipelines: reviews to predict and, where labels are read, those to retrain."""
    limits = settings.limits
    slots = threading.Semaphore(limits.in_flight)

    def function(name: str, token: str | None = None) -> Function:
        url, timeout_seconds = settings.gateway_url, settings.function_timeout_seconds
        return Function(url, name, connections=limits.in_flight, timeout_seconds=timeout_seconds, token=token)

    def pipeline(source: Source, handle: Handler) -> Pipeline:
        return Pipeline(source, handle, StreamProgress(source.name, records, retry), retry, stop, limits, slots)

    predict, retrain = function("predict"), function("retrain", settings.retrain_token)
    return [
        *(
            pipeline(source, ReviewHandler(source.name, predict, records, publisher, retry, predictions))
            for source in sources.reviews
        ),
        *(pipeline(source, LabelHandler(source.name, retrain, records, publisher, retry)) for source in sources.labels),
    ]


def count_unroutable(to: str) -> None:
    """Count a reply that nobody waits for any more."""
    UNROUTABLE.inc()
    logger.info("a reply could not be routed: there is no queue %s", to)


def not_ready(pipelines: Sequence[Pipeline]) -> str | None:
    """Return which sources are neither read nor waited for, None if all are."""
    if not pipelines:
        return "RabbitMQ or MongoDB does not answer yet"
    missing = [pipeline.name for pipeline in pipelines if not pipeline.connected]
    return f"not reading {', '.join(missing)} yet" if missing else None


if __name__ == "__main__":
    run("bridge", main)
