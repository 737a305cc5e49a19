"""Runs retrain: `python -m functions.retrain`. SIGTERM: answer what is in hand, exit 0."""

import logging

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

# Reading labels and probes go on while one thread trains.
THREADS = 4

logger = logging.getLogger("retrain")


def main() -> int:
    """Serve until SIGTERM; returns the exit code. Raises SettingsError."""
    settings = Settings()
    store = ModelStore.from_environment()
    records = Records.from_environment()
    labels = Labels(records)
    not_ready = ready_if(store.current, records.ping, errors=(StoreError, RecordsUnavailable))
    app = build(Trainer(store, labels, settings), token=settings.token, not_ready=not_ready)
    try:
        labels.ensure_indexes()
    except RecordsUnavailable as error:
        logger.warning("no indexes yet: %s", error)
    serve(app, blocking_threads=THREADS)
    records.close()
    return 0


if __name__ == "__main__":
    run("retrain", main)
