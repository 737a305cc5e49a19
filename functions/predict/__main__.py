"""Runs predict: `python -m functions.predict`. SIGTERM: answer what is in hand, write what waits, exit 0."""

import gc
import os
import sys

from functions.predict.app import build
from functions.predict.metrics import Metrics
from functions.serve import serve
from model_store import CurrentPoller, ModelWatcher, Served
from records import BatchRecorder, Records
from records.logs import log_to_stdout

FLUSH_TIMEOUT_SECONDS = 10


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    log_to_stdout("predict")
    metrics = Metrics()

    def swapped(served: Served) -> None:
        metrics.model.info({"version": served.version, "trained_at": str(served.manifest.get("trained_at"))})
        metrics.swaps.inc()
        # A model lives as long as it is served: scanning its hundred thousand words for garbage is time lost.
        gc.collect()
        gc.freeze()

    watcher = ModelWatcher(
        CurrentPoller.from_environment(),
        poll_seconds=float(os.environ.get("POLL_SECONDS") or 2),
        on_swap=swapped,
        on_refusal=lambda _: metrics.refused.inc(),
        on_outage=lambda _: metrics.outages.inc(),
    )
    records = Records.from_environment()
    recorder = BatchRecorder(records, on_written=metrics.records_written.inc, on_lost=metrics.records_lost.inc)
    metrics.records_waiting.set_function(lambda: recorder.waiting)
    watcher.start()
    recorder.start()
    serve(build(lambda: watcher.served, recorder.record, metrics))
    watcher.stop()
    recorder.close(FLUSH_TIMEOUT_SECONDS)
    records.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
