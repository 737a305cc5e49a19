"""Runs retrain: `python -m functions.retrain`. SIGTERM: answer what is in hand, exit 0."""

from pathlib import Path

from contracts.limits import MAX_BODY_BYTES
from functions.retrain.app import build
from functions.retrain.callers import Callers
from functions.retrain.settings import Settings
from functions.retrain.trainer import Trainer
from model_store.errors import StoreError
from model_store.publishing import ModelStore
from process.front import Front, Limits
from process.pace import Pace
from process.run import run
from process.server import serve
from process.settings import listen_address
from process.web import check_token_is_set, ready_if
from records import Records, RecordsUnavailable
from records.labels import Labels

DESCRIPTION = Path(__file__).with_name("openapi.json")


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings, limits = Settings(), Limits.of(MAX_BODY_BYTES)
    store = ModelStore.from_environment()
    records = Records.from_environment()
    trainer = Trainer(store, Labels(records), settings)
    not_ready = ready_if(store.current, records.ping, errors=(StoreError, RecordsUnavailable))
    # Labels are taken while one thread trains.
    address, _ = listen_address(8080)
    check_token_is_set(settings.token, "retrain-token", address)
    callers = Callers(settings.token, settings.label_tokens)
    app = build(trainer, callers=callers, pace=Pace.at(address, settings.pace_seconds))
    front = Front(not_ready, limits, others=app.answer, description=DESCRIPTION, threads=4)
    serve(front)
    records.close()


if __name__ == "__main__":
    run("retrain", main)
