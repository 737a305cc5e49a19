"""Runs predict: `python -m functions.predict`. SIGTERM: answer what is in hand, write what waits, exit 0."""

import gc
import os
from functools import partial
from pathlib import Path

from prometheus_client import Counter, Gauge, Info

from contracts.limits import MAX_BODY_BYTES
from functions.predict.app import Scoring, build
from functions.predict.service import Predictor
from model_store.serving import CurrentPoller, ModelWatcher, Refusal, Served, StoreReader, load_scorer
from model_store.trust import trust
from process.front import Front, Limits
from process.memory import give_back
from process.run import run
from process.server import serve
from process.settings import number
from records import BatchRecorder, Records, Spool

MODEL = Info("predict_model", "The model served")
SWAPS = Counter("predict_model_swaps", "Models swapped in")
REFUSED = Counter("predict_model_refused", "Promotions and promoted versions that were refused")
UNTRUSTED = Counter("predict_model_untrusted", "Of those refused, the ones unsigned, signed by others, or replayed")
OUTAGES = Counter("predict_model_store_outages", "Polls of the model store that failed")
WRITTEN = Counter("predict_records_written", "Records written to MongoDB")
LOST = Counter("predict_records_lost", "Records of answers that could not be written before the end, and are gone")
REFUSED_RECORDS = Counter("predict_records_refused", "Requests that got 503, since there was no room for their records")
WAITING = Gauge("predict_records_waiting", "Records that wait to be written")

DESCRIPTION = Path(__file__).with_name("openapi.json")

# Said by /_/health, too, which is all that the community edition of OpenFaaS asks before it ends those that answer.
AWAITS_MODEL = "The model that is published is not loaded yet."


def main() -> None:
    """Serve until SIGTERM; raises SettingsError."""
    limits = Limits.of(MAX_BODY_BYTES)
    reader, trusted = StoreReader(), trust()
    watcher = ModelWatcher(
        CurrentPoller(reader, trusted),
        partial(load_scorer, reader.get, trust=trusted),
        poll_seconds=number("POLL_SECONDS", 2, least=0.1),
        on_swap=swapped,
        on_refusal=refused,
        on_outage=lambda _: OUTAGES.inc(),
    )
    records = Records.from_environment()
    folder = os.environ.get("RECORD_SPOOL_DIR")
    recorder = BatchRecorder(
        records,
        spool=Spool(Path(folder)) if folder else None,
        wait_seconds=number("RECORD_WAIT_SECONDS", 5, least=0),
        on_written=WRITTEN.inc,
        on_refused=REFUSED_RECORDS.inc,
        on_lost=LOST.inc,
        on_drained=give_back,
    )
    WAITING.set_function(lambda: recorder.waiting)
    predictor = Predictor(lambda: watcher.served, recorder)
    front = Front(
        predictor.not_ready,
        limits,
        hot=Scoring(predictor),
        others=build(predictor).answer,
        description=DESCRIPTION,
        not_started=lambda: AWAITS_MODEL if watcher.awaits_first else None,
    )
    watcher.start()
    recorder.start()
    serve(front)
    watcher.stop()
    recorder.close(timeout_seconds=10)
    records.close()


def swapped(served: Served) -> None:
    """Show what is served from now on, and give back the memory of what was."""
    MODEL.info({"version": served.version, "trained_at": served.manifest.trained_at})
    SWAPS.inc()
    # What is imported stays: scanning it for garbage again and again would be time lost.
    gc.collect()
    gc.freeze()
    give_back()


def refused(refusal: Refusal) -> None:
    """Count what was not taken."""
    REFUSED.inc()
    if refusal.untrusted:
        UNTRUSTED.inc()


if __name__ == "__main__":
    run("predict", main)
