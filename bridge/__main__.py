"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import gc
import logging
import threading
from functools import partial

from bridge.functions import Function
from bridge.inputs import Input, declare
from bridge.labels import LabelHandler
from bridge.monitor import Monitor
from bridge.pipeline import Handler, Pipeline
from bridge.reviews import ReviewHandler
from bridge.settings import Settings
from messages.ports import BrokerUnavailable, Publisher
from messages.publisher import AmqpPublisher
from process.probes import serve_probes
from process.retry import Abandoned, Retry
from process.run import run, stop_at_signal
from records import Records, RecordsUnavailable

DEFAULT_PORT = 8081
logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.from_environment()
    stop, signalled, give_up = threading.Event(), threading.Event(), threading.Event()

    def drain() -> None:
        logger.info("finishing what is in hand, for at most %g s", settings.drain_seconds)
        signalled.set()
        timer = threading.Timer(settings.drain_seconds, give_up.set)
        timer.daemon = True
        timer.start()

    stop_at_signal(stop, then=drain)
    monitor = Monitor(each.name for each in settings.inputs)
    serve_probes(monitor.not_ready, DEFAULT_PORT)
    records = Records.from_environment()
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    until_stopped = Retry(stop, on_retry=monitor.retried)
    try:
        until_stopped(partial(declare, settings), BrokerUnavailable)
        until_stopped(records.ensure_indexes, RecordsUnavailable)
    except Abandoned:
        return 0
    publisher = AmqpPublisher(settings.rabbitmq_url, on_unroutable=monitor.unroutable)
    threads = [
        threading.Thread(target=run_until, args=(pipeline, stop), name=f"{pipeline.name}-pipeline")
        for pipeline in pipelines(settings, records, publisher, Retry(give_up, on_retry=monitor.retried), monitor)
    ]
    # Ten thousand messages in hand are no garbage: looking through them at every 700 new objects, Python's default, is
    # a tenth of the throughput.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()
    publisher.close()
    records.close()
    logger.info("stopped")
    return 0 if signalled.is_set() else 1


def run_until(pipeline: Pipeline, stop: threading.Event) -> None:
    """Run a pipeline until `stop`; one that ends by itself, as at a bug, stops the others too."""
    try:
        pipeline.run(stop)
    finally:
        stop.set()


def pipelines(
    settings: Settings, records: Records, publisher: Publisher, retry: Retry, monitor: Monitor
) -> list[Pipeline]:
    """Wire the pipelines: reviews to predict and, where it is read, labels to retrain."""

    def function(name: str, token: str | None = None) -> Function:
        timeout_seconds = settings.function_timeout_seconds
        return Function(
            settings.gateway_url, name, connections=settings.in_flight, timeout_seconds=timeout_seconds, token=token
        )

    def pipeline(read: Input, handle: Handler) -> Pipeline:
        source, offsets = read.reader(settings, records)
        return Pipeline(
            source,
            handle,
            offsets,
            retry,
            limits=settings.limits,
            in_flight=settings.in_flight,
            on_connected=partial(monitor.connected, read.name),
            on_retry=monitor.retried,
            on_offset=partial(monitor.offset, read.name),
        )

    scoring, learning = settings.reviews, settings.labels
    reviews = ReviewHandler(function("predict"), records, publisher, retry, partial(monitor.done, scoring.name))
    wired = [pipeline(scoring, reviews)]
    if learning:
        retrain = function("retrain", settings.retrain_token)
        labels = LabelHandler(retrain, records, publisher, retry, partial(monitor.done, learning.name))
        wired.append(pipeline(learning, labels))
    return wired


if __name__ == "__main__":
    run("bridge", main)
