"""Runs drift: `python -m functions.drift`. SIGTERM: answer what is in hand, exit 0; alerts not sent stay due."""

from functions.drift.alerts import Channel, Courier, Webhook
from functions.drift.app import build
from functions.drift.checker import Checker
from functions.drift.references import References
from functions.drift.settings import Settings
from messages.alerts import AlertExchange
from model_store.errors import StoreError
from model_store.publishing import ModelStore
from process.run import run
from process.server import serve
from process.web import ready_if
from records import Records, RecordsUnavailable
from records.drift import DriftRecords


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings = Settings()
    store = ModelStore.from_environment()
    all_records = Records.from_environment()
    records = DriftRecords(all_records)
    couriers = [Courier(records, channel, settings.alert_timeout_seconds) for channel in channels(settings)]
    checker = Checker(records, References(store, records, settings), settings, couriers)
    app = build(checker, not_ready=ready_if(store.current, all_records.ping, errors=(StoreError, RecordsUnavailable)))
    checker.show_last()
    for courier in couriers:
        courier.start()
    serve(app, blocking_threads=2)  # probes are answered while a check waits for the store
    for courier in couriers:
        courier.close()
    all_records.close()


def channels(settings: Settings) -> list[Channel]:
    """Return the channels that the settings name."""
    found: list[Channel] = []
    if settings.rabbitmq_url:
        found.append(AlertExchange(settings.rabbitmq_url))
    if settings.webhook_url:
        found.append(Webhook(settings.webhook_url))
    return found


if __name__ == "__main__":
    run("drift", main)
