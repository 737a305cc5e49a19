"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import gc
import logging
import signal
import threading
from functools import partial

from bridge.broker import BrokerUnavailable
from bridge.invoke import Function
from bridge.labels import LabelHandler
from bridge.monitor import Monitor
from bridge.pipeline import Handler, Pipeline
from bridge.rabbitmq import RabbitMQPublisher, RabbitMQSource
from bridge.retry import Abandoned, Retry
from bridge.reviews import ReviewHandler
from bridge.settings import Settings
from bridge.topology import declare
from model_store.process import run
from records import Records, RecordsUnavailable

logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.from_environment()
    stop, give_up = threading.Event(), threading.Event()
    install_signal_handlers(stop, give_up, settings.drain_seconds)
    monitor = Monitor(name for name in (settings.source, settings.labels_stream) if name)
    monitor.serve()
    records = Records.from_environment()
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    until_stopped = Retry(stop, on_retry=monitor.retried)
    try:
        until_stopped(partial(declare, settings), BrokerUnavailable)
        until_stopped(records.ensure_indexes, RecordsUnavailable)
    except Abandoned:
        return 0
    publisher = RabbitMQPublisher(settings.rabbitmq_url, on_unroutable=monitor.unroutable)
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


signalled = threading.Event()


def install_signal_handlers(stop: threading.Event, give_up: threading.Event, drain_seconds: float) -> None:
    """Set `stop` at SIGTERM or SIGINT, and `give_up` so much later."""

    def on_signal(number: int, _: object) -> None:
        logger.info("%s: finishing what is in hand, for at most %g s", signal.Signals(number).name, drain_seconds)
        signalled.set()
        stop.set()
        timer = threading.Timer(drain_seconds, give_up.set)
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def run_until(pipeline: Pipeline, stop: threading.Event) -> None:
    """Run a pipeline until `stop`; one that ends by itself, as at a bug, stops the others too."""
    try:
        pipeline.run(stop)
    finally:
        stop.set()


def pipelines(
    settings: Settings, records: Records, publisher: RabbitMQPublisher, retry: Retry, monitor: Monitor
) -> list[Pipeline]:
    """Wire the pipelines: reviews to predict and, where it is read, labels to retrain."""

    def function(name: str) -> Function:
        return Function(
            settings.gateway_url,
            name,
            connections=settings.in_flight,
            timeout_seconds=settings.function_timeout_seconds,
        )

    def pipeline(name: str, handle: Handler, *, stream: bool) -> Pipeline:
        # The next two batches wait here. A queue counts those in the handler too.
        prefetch = settings.limits.messages * (2 if stream else settings.in_flight + 2)
        return Pipeline(
            RabbitMQSource(settings.rabbitmq_url, name, stream=stream, prefetch=prefetch),
            handle,
            records,
            retry,
            limits=settings.limits,
            in_flight=settings.in_flight,
            on_connected=partial(monitor.connected, name),
            on_offset=partial(monitor.offset, name),
        )

    reviews = ReviewHandler(
        function("predict"),
        records,
        publisher,
        retry,
        has_offsets=settings.source_is_stream,
        on_done=partial(monitor.done, settings.source),
    )
    wired = [pipeline(settings.source, reviews, stream=settings.source_is_stream)]
    if settings.labels_stream:
        labels = LabelHandler(
            function("retrain"),
            records,
            publisher,
            retry,
            token=settings.retrain_token,
            on_done=partial(monitor.done, settings.labels_stream),
        )
        wired.append(pipeline(settings.labels_stream, labels, stream=True))
    return wired


if __name__ == "__main__":
    run("bridge", main)
