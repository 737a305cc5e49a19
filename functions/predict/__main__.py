"""Runs predict: `python -m functions.predict`. SIGTERM: answer what is in hand, write what waits, exit 0."""

import gc

from functions.memory import give_back
from model_store.process import run

FLUSH_TIMEOUT_SECONDS = 10


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    from functions.predict.metrics import Metrics
    from model_store import CurrentPoller, ModelWatcher, Served
    from model_store.environment import number

    metrics = Metrics()

    def swapped(served: Served) -> None:
        metrics.model.info({"version": served.version, "trained_at": str(served.manifest.get("trained_at"))})
        metrics.swaps.inc()
        # What is imported stays: scanning it for garbage again and again would be time lost.
        gc.collect()
        gc.freeze()
        give_back()

    watcher = ModelWatcher(
        CurrentPoller(),
        poll_seconds=number("POLL_SECONDS", 2, least=0.1),
        on_swap=swapped,
        on_refusal=lambda _: metrics.refused.inc(),
        on_outage=lambda _: metrics.outages.inc(),
    )
    watcher.start()
    # The rest is imported while child processes fetch the model, which takes them half a second and more.
    from functions.predict.app import build
    from functions.serve import serve
    from records import BatchRecorder, Records

    records = Records.from_environment()
    recorder = BatchRecorder(
        records, on_written=metrics.records_written.inc, on_lost=metrics.records_lost.inc, on_drained=give_back
    )
    metrics.records_waiting.set_function(lambda: recorder.waiting)
    recorder.start()
    serve(build(lambda: watcher.served, recorder.record, metrics))
    watcher.stop()
    recorder.close(FLUSH_TIMEOUT_SECONDS)
    records.close()
    return 0


if __name__ == "__main__":
    run("predict", main)
