"""Runs drift: `python -m functions.drift`. SIGTERM: answer what is in hand, exit 0; alerts not sent stay due."""

import logging

from functions.drift.alerts import Channel, Courier, Exchange, Webhook
from functions.drift.app import build
from functions.drift.metrics import Metrics
from functions.drift.references import References
from functions.drift.run import Checker
from functions.drift.settings import Settings
from functions.serve import serve
from model_store import ModelStore
from model_store.process import run
from records import Records, RecordsUnavailable
from records.drift import DriftRecords
from records.mongo import Document

# Probes are answered while a check waits for the store.
THREADS = 2

logger = logging.getLogger("drift")


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = Settings.from_environment()
    store = ModelStore.from_environment()
    all_records = Records.from_environment()
    records = DriftRecords(all_records)
    metrics = Metrics()
    show_last(records, metrics)
    couriers = [
        Courier(
            records,
            channel,
            timeout_seconds=settings.alert_timeout_seconds,
            on_sent=metrics.alerts_sent.labels(channel.name).inc,
            on_failed=metrics.alerts_failed.labels(channel.name).inc,
        )
        for channel in channels(settings)
    ]

    def reported(report: Document) -> None:
        metrics.show(report)
        metrics.checks.labels(report["check"]["status"]).inc()
        for courier in couriers:
            courier.wake()

    checker = Checker(
        records,
        References(store, records, settings),
        settings,
        channels=[channel.name for channel in channels(settings)],
        on_report=reported,
    )
    for courier in couriers:
        courier.start()
    serve(build(checker, store, records, metrics), blocking_threads=THREADS)
    for courier in couriers:
        courier.close()
    all_records.close()
    return 0


def channels(settings: Settings) -> list[Channel]:
    """Return the channels that the settings name."""
    found: list[Channel] = []
    if settings.rabbitmq_url:
        found.append(Exchange(settings.rabbitmq_url))
    if settings.webhook_url:
        found.append(Webhook(settings.webhook_url))
    return found


def show_last(records: DriftRecords, metrics: Metrics) -> None:
    """Let the metrics start with the last report: a restart is no change of state."""
    try:
        if report := records.last_report():
            metrics.show(report)
    except RecordsUnavailable as error:
        logger.warning("the last report can't be read yet: %s", error)


if __name__ == "__main__":
    run("drift", main)
