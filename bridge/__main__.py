"""Runs the bridge: `python -m bridge`. SIGTERM: stop reading, finish what is in hand, store the offset, exit 0."""

import logging
import signal
import sys
import threading
from functools import partial

from bridge.broker import BrokerUnavailable
from bridge.invoke import Function
from bridge.monitor import Monitor
from bridge.pipeline import Pipeline
from bridge.rabbitmq import RabbitMQPublisher, RabbitMQSource
from bridge.retry import Abandoned, Retry
from bridge.reviews import ReviewHandler
from bridge.settings import Settings, SettingsError
from bridge.topology import declare
from records import Records
from records.logs import log_to_stdout

logger = logging.getLogger("bridge")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    log_to_stdout("bridge")
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        logger.error("%s", error)
        return 2
    stop, give_up = threading.Event(), threading.Event()

    def on_signal(number: int, _: object) -> None:
        logger.info(
            "%s: finishing what is in hand, for at most %g s",
            signal.Signals(number).name,
            settings.drain_seconds,
        )
        stop.set()
        timer = threading.Timer(settings.drain_seconds, give_up.set)
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)

    monitor = Monitor([settings.source])
    monitor.serve()
    retry = Retry(give_up, on_retry=monitor.retried)
    # Nothing is in hand before the first message, so a stop need not wait for a drain.
    try:
        Retry(stop, on_retry=monitor.retried)(partial(declare, settings), BrokerUnavailable)
    except Abandoned:
        return 0
    records = Records.from_environment()
    publisher = RabbitMQPublisher(settings.rabbitmq_url, on_unroutable=monitor.unroutable)
    source = RabbitMQSource(
        settings.rabbitmq_url,
        settings.source,
        stream=settings.source_is_stream,
        prefetch=settings.limits.messages * (settings.in_flight + 2),
    )
    handle = ReviewHandler(
        Function(
            settings.gateway_url,
            "predict",
            connections=settings.in_flight,
            timeout_seconds=settings.function_timeout_seconds,
        ),
        records,
        publisher,
        retry,
        has_offsets=settings.source_is_stream,
        on_done=partial(monitor.done, settings.source),
    )
    pipeline = Pipeline(
        source,
        handle,
        records,
        retry,
        limits=settings.limits,
        in_flight=settings.in_flight,
        on_connected=partial(monitor.connected, settings.source),
        on_offset=partial(monitor.offset, settings.source),
    )
    pipeline.run(stop)
    publisher.close()
    records.close()
    logger.info("stopped")
    return 0 if stop.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
