"""Runs retrain: `python -m functions.retrain`. SIGTERM: answer what is in hand, exit 0."""

import logging

from functions.retrain.app import build
from functions.retrain.metrics import Metrics
from functions.retrain.run import Trainer
from functions.retrain.settings import Settings
from functions.serve import serve
from model_store import ModelStore
from model_store.process import run
from records import Records, RecordsUnavailable
from records.labels import Labels

# Reading labels and probes go on while one thread trains.
THREADS = 4

logger = logging.getLogger("retrain")


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = Settings.from_environment()
    store = ModelStore.from_environment()
    records = Records.from_environment()
    labels = Labels(records)
    try:
        labels.ensure_indexes()
    except RecordsUnavailable as error:
        logger.warning("no indexes yet: %s", error)
    metrics = Metrics()
    trainer = Trainer(store, labels, settings, on_run=metrics.ran)
    serve(build(store, labels, trainer, settings, metrics), blocking_threads=THREADS)
    records.close()
    return 0


if __name__ == "__main__":
    run("retrain", main)
