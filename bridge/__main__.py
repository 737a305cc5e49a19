"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import gc
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from prometheus_client import Counter

from bridge.handlers import LabelHandler, ReviewHandler
from bridge.pipeline import Handler, Pipeline, count_retry
from bridge.progress import StreamProgress
from bridge.settings import BatchLimits, QueueInput, Settings, StreamInput
from bridge.supervisor import Input, Supervisor
from contracts.names import PREDICTIONS
from messages.ports import Appender, BrokerUnavailable, Publisher, Source
from messages.publisher import AmqpPublisher
from messages.replies import Dropped
from messages.stream_publisher import StreamPublisher
from process.functions import Function
from process.retry import Abandoned, Retry
from process.run import run, stop_at_signal
from process.server import serve_probes
from records import Records, RecordsUnavailable

LOOK_SECONDS = 5.0
LABELS_IN_FLIGHT = 2
DROPPED = {
    Dropped.FORBIDDEN: Counter("bridge_forbidden_replies", "Replies whose reply_to is not accepted"),
    Dropped.UNROUTABLE: Counter("bridge_unroutable_replies", "Replies whose reply_to does not exist"),
    Dropped.REFUSED: Counter("bridge_refused_replies", "Replies that their queue refused, as when it is full"),
    Dropped.UNCONFIRMED: Counter("bridge_unconfirmed_replies", "Replies that a stuck queue did not confirm"),
}
logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings()
    stop, give_up = threading.Event(), threading.Event()
    stop_at_signal(stop)
    records = Records.from_environment()
    publisher = AmqpPublisher(
        settings.rabbitmq_url,
        declare=settings.declare_outputs,
        may_reply_to=lambda queue: settings.may_reply_to(queue) and queue not in supervisor.sources,
        on_dropped=lambda why, count: DROPPED[why].inc(count),
    )
    predictions = StreamPublisher(settings.rabbitmq_stream_url, PREDICTIONS, declare=settings.declare_outputs)
    retry = Retry(give_up, on_retry=count_retry)
    supervisor = Supervisor(inputs(settings, records, publisher, predictions, retry))
    serve_probes(supervisor.not_ready, default_port=8081)
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    until_stopped = Retry(stop, on_retry=count_retry)
    try:
        until_stopped(settings.declare_outputs, BrokerUnavailable)
        until_stopped(records.ensure_indexes, RecordsUnavailable)
    except Abandoned:
        return 0
    supervisor.look()
    # Ten thousand messages in hand are no garbage: looking through them at every 700 new objects, Python's default, is
    # a tenth of the throughput.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    while not stop.wait(LOOK_SECONDS):
        supervisor.look()
        supervisor.measure_lag()
    logger.info("finishing what is in hand, for at most %g s", settings.drain_seconds)
    supervisor.stop(settings.drain_seconds)
    give_up.set()
    supervisor.join()
    publisher.close()
    predictions.close()
    records.close()
    logger.info("stopped")
    return 0


def inputs(
    settings: Settings, records: Records, publisher: Publisher, predictions: Appender, retry: Retry
) -> list[Input]:
    """Return what is read: reviews for predict and, where labels are read, those for retrain."""

    def function(name: str, limits: BatchLimits, token: str | None = None) -> Function:
        url, timeout_seconds = settings.gateway_url, settings.function_timeout_seconds
        return Function(url, name, connections=limits.in_flight, timeout_seconds=timeout_seconds, token=token)

    def reviews(source: Source) -> Handler:
        return ReviewHandler(source.name, predict, records, publisher, retry, predictions)

    def labels(source: Source) -> Handler:
        return LabelHandler(source.name, retrain, records, publisher, retry)

    def an_input(read: StreamInput | QueueInput, limits: BatchLimits, handler: Callable[[Source], Handler]) -> Input:
        slots = threading.Semaphore(limits.in_flight)

        def find() -> Sequence[Source]:
            read.declare(settings)
            return read.sources(settings)

        def pipeline(source: Source, stop: threading.Event) -> Pipeline:
            progress = StreamProgress(source.name, records, retry)
            return Pipeline(source, handler(source), progress, retry, stop, limits, slots)

        return Input(read.name, find, pipeline)

    # Labels have slots of their own: while retrain hangs, they hold them all.
    for_labels = replace(settings.limits, in_flight=min(settings.limits.in_flight, LABELS_IN_FLIGHT))
    predict = function("predict", settings.limits)
    retrain = function("retrain", for_labels, settings.retrain_token)
    found = [an_input(settings.reviews, settings.limits, reviews)]
    if settings.labels:
        found.append(an_input(StreamInput(settings.labels), for_labels, labels))
    return found


if __name__ == "__main__":
    run("bridge", main)
