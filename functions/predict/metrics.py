"""Prometheus metrics of predict."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram, Info

from contracts.names import CLASSES
from contracts.predict import Score


class Metrics:
    """The metrics; made once a process, since Prometheus's client registers them by name."""

    def __init__(self) -> None:
        """Register all."""
        self.seconds = Histogram(
            "predict_seconds",
            "Time from the request's body to the answer, in seconds",
            buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
        )
        texts = Counter("predict_texts", "Texts scored, by prediction", ["prediction"])
        self.texts = {label: texts.labels(label) for label in CLASSES}
        self.records_written = Counter("predict_records_written", "Records written to MongoDB")
        self.records_lost = Counter("predict_records_lost", "Records that could not be written and are gone")
        self.records_waiting = Gauge("predict_records_waiting", "Records that wait to be written")
        self.model = Info("predict_model", "The model served")
        self.swaps = Counter("predict_model_swaps", "Models swapped in")
        self.refused = Counter("predict_model_refused", "Promoted versions that were refused")
        self.outages = Counter("predict_model_store_outages", "Polls of the model store that failed")

    def observe(self, seconds: float, scores: Iterable[Score]) -> None:
        """Count one request's time and texts."""
        self.seconds.observe(seconds)
        for score in scores:
            self.texts[score.prediction].inc()
