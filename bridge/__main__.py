"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import gc
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from prometheus_client import Counter

from bridge.functions import Function
from bridge.handlers import LabelHandler, ReviewHandler
from bridge.pipeline import Handler, Pipeline, count_retry
from bridge.settings import QueueInput, Settings, StreamInput
from messages.ports import BrokerUnavailable, Publisher
from messages.publisher import AmqpPublisher
from process.probes import serve_probes
from process.retry import Abandoned, Retry
from process.run import run, stop_at_signal
from records import Records, RecordsUnavailable

UNROUTABLE = Counter("bridge_unroutable_replies", "Replies whose reply_to does not exist")
logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings()
    stop, signalled, give_up = threading.Event(), threading.Event(), threading.Event()
    stop_at_signal(stop, then=signalled.set)
    records = Records.from_environment()
    publisher = AmqpPublisher(settings.rabbitmq_url, on_unroutable=count_unroutable)
    pipelines = wire(settings, records, publisher, Retry(give_up, on_retry=count_retry), stop)
    serve_probes(lambda: not_ready(pipelines), default_port=8081)
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    until_stopped = Retry(stop, on_retry=count_retry)
    try:
        until_stopped(settings.declare, BrokerUnavailable)
        until_stopped(records.ensure_indexes, RecordsUnavailable)
    except Abandoned:
        return 0
    # Ten thousand messages in hand are no garbage: looking through them at every 700 new objects, Python's default, is
    # a tenth of the throughput.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with ThreadPoolExecutor(len(pipelines), "pipeline") as pool:
        running = [pool.submit(pipeline.run) for pipeline in pipelines]
        stop.wait()
        logger.info("finishing what is in hand, for at most %g s", settings.drain_seconds)
        wait(running, settings.drain_seconds)
        give_up.set()
    for pipeline in running:
        pipeline.result()
    publisher.close()
    records.close()
    logger.info("stopped")
    return 0 if signalled.is_set() else 1


def wire(
    settings: Settings, records: Records, publisher: Publisher, retry: Retry, stop: threading.Event
) -> list[Pipeline]:
    """Return the pipelines: reviews to predict and, where labels are read, those to retrain."""

    def function(name: str, token: str | None = None) -> Function:
        url, timeout_seconds = settings.gateway_url, settings.function_timeout_seconds
        return Function(url, name, connections=settings.limits.in_flight, timeout_seconds=timeout_seconds, token=token)

    def pipeline(read: StreamInput | QueueInput, handle: Handler) -> Pipeline:
        return Pipeline(read.source(settings), handle, records, retry, stop, settings.limits)

    reviews = settings.reviews
    wired = [pipeline(reviews, ReviewHandler(reviews.name, function("predict"), records, publisher, retry))]
    if settings.labels:
        handle = LabelHandler(settings.labels, function("retrain", settings.retrain_token), records, publisher, retry)
        wired.append(pipeline(StreamInput(settings.labels), handle))
    return wired


def count_unroutable(to: str) -> None:
    """Count a reply that nobody waits for any more."""
    UNROUTABLE.inc()
    logger.info("a reply could not be routed: there is no queue %s", to)


def not_ready(pipelines: Sequence[Pipeline]) -> str | None:
    """Return which sources are not read, None if all are."""
    missing = [pipeline.name for pipeline in pipelines if not pipeline.connected]
    return f"not reading {', '.join(missing)} yet" if missing else None


if __name__ == "__main__":
    run("bridge", main)
