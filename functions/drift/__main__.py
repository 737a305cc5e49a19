"""Runs drift: `python -m functions.drift`. SIGTERM: answer what is in hand, exit 0; alerts not sent stay due."""

import logging

from contracts.drift import DriftReport
from functions.drift.alerts import Channel, Exchange, Webhook
from functions.drift.app import build
from functions.drift.checker import Checker
from functions.drift.courier import Courier
from functions.drift.metrics import Metrics
from functions.drift.references import References
from functions.drift.settings import Settings
from messages.alerts import AlertExchange
from model_store.errors import StoreError
from model_store.publishing import ModelStore
from process.run import run
from process.server import serve
from process.web import ready_if
from records import InvalidRecord, Records, RecordsUnavailable
from records.drift import DriftRecords

# Probes are answered while a check waits for the store.
THREADS = 2

logger = logging.getLogger("drift")


def main() -> int:
    """Serve until SIGTERM; returns the exit code. Raises SettingsError."""
    settings = Settings.from_environment()
    store = ModelStore.from_environment()
    all_records = Records.from_environment()
    records = DriftRecords(all_records)
    metrics = Metrics()
    sent_by = channels(settings)
    couriers = [
        Courier(
            records,
            channel,
            timeout_seconds=settings.alert_timeout_seconds,
            on_sent=metrics.alerts_sent.labels(channel.name).inc,
            on_failed=metrics.alerts_failed.labels(channel.name).inc,
        )
        for channel in sent_by
    ]

    def reported(report: DriftReport) -> None:
        metrics.show(report)
        metrics.checks.labels(report.check.status).inc()
        for courier in couriers:
            courier.wake()

    checker = Checker(
        records,
        References(store, records, settings),
        settings,
        channels=[channel.name for channel in sent_by],
        on_report=reported,
    )
    not_ready = ready_if(store.current, all_records.ping, errors=(StoreError, RecordsUnavailable))
    app = build(checker, metrics, not_ready=not_ready)
    show_last(records, metrics)
    for courier in couriers:
        courier.start()
    serve(app, blocking_threads=THREADS)
    for courier in couriers:
        courier.close()
    all_records.close()
    return 0


def channels(settings: Settings) -> list[Channel]:
    """Return the channels that the settings name."""
    found: list[Channel] = []
    if settings.rabbitmq_url:
        found.append(Exchange(AlertExchange(settings.rabbitmq_url)))
    if settings.webhook_url:
        found.append(Webhook(settings.webhook_url))
    return found


def show_last(records: DriftRecords, metrics: Metrics) -> None:
    """Let the metrics start with the last report: a restart is no change of state."""
    try:
        if report := records.last_report():
            metrics.show(report)
    except (RecordsUnavailable, InvalidRecord) as error:
        logger.warning("the last report can't be read: %s", error)


if __name__ == "__main__":
    run("drift", main)
