"""Runs predict: `python -m functions.predict`. SIGTERM: answer what is in hand, write what waits, exit 0."""

import gc
from functools import partial

from functions.predict.app import build
from functions.predict.metrics import Metrics
from functions.predict.service import Predictor
from model_store.serving import CurrentPoller, ModelWatcher, Served, StoreReader, load_scorer
from process.memory import give_back
from process.run import run
from process.server import serve
from process.settings import number
from records import BatchRecorder, Records

FLUSH_TIMEOUT_SECONDS = 10


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    metrics = Metrics()

    def swapped(served: Served) -> None:
        metrics.model.info({"version": served.version, "trained_at": served.manifest.trained_at})
        metrics.swaps.inc()
        # What is imported stays: scanning it for garbage again and again would be time lost.
        gc.collect()
        gc.freeze()
        give_back()

    reader = StoreReader()
    watcher = ModelWatcher(
        CurrentPoller(reader),
        partial(load_scorer, reader.get),
        poll_seconds=number("POLL_SECONDS", 2, least=0.1),
        on_swap=swapped,
        on_refusal=lambda _: metrics.refused.inc(),
        on_outage=lambda _: metrics.outages.inc(),
    )
    records = Records.from_environment()
    recorder = BatchRecorder(
        records, on_written=metrics.records_written.inc, on_lost=metrics.records_lost.inc, on_drained=give_back
    )
    metrics.records_waiting.set_function(lambda: recorder.waiting)
    app = build(Predictor(lambda: watcher.served, recorder.record, metrics))
    watcher.start()
    recorder.start()
    serve(app)
    watcher.stop()
    recorder.close(FLUSH_TIMEOUT_SECONDS)
    records.close()
    return 0


if __name__ == "__main__":
    run("predict", main)
