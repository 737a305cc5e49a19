"""Serves drift (docs/http.md): `python -m functions.drift`. SIGTERM: answer what is in hand, exit 0."""

from pathlib import Path

from flask import Response

from contracts.drift import read_reports_query
from contracts.limits import MAX_EMPTY_BODY_BYTES
from functions.drift.alerts import Channel, Courier, Webhook
from functions.drift.checker import Checker
from functions.drift.references import References
from functions.drift.settings import Settings
from messages.alerts import AlertExchange
from model_store.errors import CurrentRefused, StoreError, VersionDistrusted
from model_store.publishing import ModelStore
from process.front import Front, Limits
from process.pace import Pace
from process.run import run
from process.server import serve
from process.settings import listen_address
from process.web import FunctionApp, asked, json_response, ready_if
from records import InvalidRecord, Records, RecordsUnavailable
from records.drift import DriftRecords
from sentiment.artifact import ArtifactError

DESCRIPTION = Path(__file__).with_name("openapi.json")


def build(checker: Checker, pace: Pace) -> FunctionApp:
    """Return the app over a checker: a GET looks, a POST checks, as often as the pace lets it, and else looks."""
    app = FunctionApp("drift")
    app.answer_errors(500, InvalidRecord, CurrentRefused, VersionDistrusted)
    app.answer_errors(503, RecordsUnavailable, StoreError, ArtifactError, then="; try again.", Retry_After="5")

    @app.get("/")
    def look() -> Response:
        return json_response(checker.look())

    @app.post("/")
    def check() -> Response:
        return json_response(checker.look() if pace.seconds_to_wait() else checker.check())

    @app.get("/reports")
    def history() -> Response:
        return json_response(checker.reports(asked(read_reports_query).limit))

    return app


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings, limits = Settings(), Limits.of(MAX_EMPTY_BODY_BYTES)
    store = ModelStore.from_environment()
    all_records = Records.from_environment()
    records = DriftRecords(all_records)
    couriers = [Courier(records, channel, settings.alert_timeout_seconds) for channel in channels(settings)]
    checker = Checker(records, References(store, records, settings), settings, couriers)
    not_ready = ready_if(store.current, all_records.ping, errors=(StoreError, RecordsUnavailable))
    checker.begin()
    for courier in couriers:
        courier.start()
    app = build(checker, Pace.at(listen_address(8080)[0], settings.pace_seconds))
    serve(Front(not_ready, limits, others=app.answer, description=DESCRIPTION, threads=2))
    for courier in couriers:
        courier.close()  # alerts not sent stay due
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
