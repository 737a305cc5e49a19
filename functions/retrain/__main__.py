"""Runs retrain: `python -m functions.retrain`. SIGTERM: answer what is in hand, exit 0."""

from functions.retrain.app import build
from functions.retrain.settings import Settings
from functions.retrain.trainer import Trainer
from model_store.errors import StoreError
from model_store.publishing import ModelStore
from process.run import run
from process.server import serve
from process.web import ready_if
from records import Records, RecordsUnavailable
from records.labels import Labels


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    settings = Settings()
    store = ModelStore.from_environment()
    records = Records.from_environment()
    trainer = Trainer(store, Labels(records), settings)
    not_ready = ready_if(store.current, records.ping, errors=(StoreError, RecordsUnavailable))
    # Reading labels and probes go on while one thread trains.
    serve(build(trainer, token=settings.token, not_ready=not_ready), blocking_threads=4)
    records.close()


if __name__ == "__main__":
    run("retrain", main)
