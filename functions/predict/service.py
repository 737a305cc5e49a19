"""The predictor: scores texts by the model that is served, and has them remembered."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import count
from secrets import token_hex

from msgspec import Raw
from prometheus_client import Counter, Histogram

from contracts.codec import Malformed, extended
from contracts.limits import TextTooLong, within_limit
from contracts.names import CLASSES
from contracts.predict import Answer, Answers, Score, Scored, ServedModel, read_text
from contracts.records import PredictionRecord
from model_store.serving import Served
from records import now

SECONDS = Histogram(
    "predict_seconds",
    "Time from the request's body to the answer, in seconds",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
_texts = Counter("predict_texts", "Texts scored, by prediction", ["prediction"])
TEXTS = {name: _texts.labels(name) for name in CLASSES}


class NoModel(Exception):
    """No model is loaded yet."""

    def __init__(self) -> None:
        super().__init__("No model is loaded yet; publish and promote one, or wait until it is loaded.")


class Predictor:
    """Answers texts. Each method reads once which model is served: a swap in between would mix two in one answer."""

    def __init__(
        self, served: Callable[[], Served | None], record: Callable[[Sequence[PredictionRecord]], None]
    ) -> None:
        """Answer with what `served` returns, None before the first model; `record` remembers, without waiting."""
        self._served = served
        self._record = record
        # Unique over processes and restarts; cheaper than a UUID a text.
        self._identifiers = map(f"http:{token_hex(8)}:{{}}".format, count())

    def not_ready(self) -> str | None:
        """Return why no text can be answered, None where one can."""
        return None if self._served() else str(NoModel())

    def model(self) -> ServedModel:
        """Return what is served; raises NoModel."""
        served = self._require()
        return extended(served.manifest, ServedModel, model=served.version)

    def score(self, text: str, *, record: bool = True, synthetic: bool = False) -> Scored:
        """Return the answer for one text; raises NoModel, TextTooLong."""
        started, received_at = time.perf_counter(), now() if record else None
        served = self._require()
        score = served.scorer.score(within_limit(text))
        if received_at:
            self._remember([(text, score)], served.version, received_at, synthetic)
        _count(time.perf_counter() - started, [score])
        return Scored(score.prediction, score.probability, served.version)

    def score_batch(self, items: Sequence[Raw], *, record: bool = True, synthetic: bool = False) -> Answers:
        """Return an answer for each item, a text as JSON; a bad one gets an error for its answer. Raises NoModel."""
        started, received_at = time.perf_counter(), now() if record else None
        served = self._require()
        scored: list[tuple[str, Score]] = []
        predictions: list[Answer] = []
        for item in items:
            try:
                text = within_limit(read_text(item))
            except Malformed:
                predictions.append(Answer(error="must be a string"))
            except TextTooLong as error:
                predictions.append(Answer(error=str(error)))
            else:
                score = served.scorer.score(text)
                scored.append((text, score))
                predictions.append(Answer(score.prediction, score.probability))
        if received_at:
            self._remember(scored, served.version, received_at, synthetic)
        _count(time.perf_counter() - started, (score for _, score in scored))
        return Answers(predictions, served.version)

    def _require(self) -> Served:
        served = self._served()
        if served is None:
            raise NoModel
        return served

    def _remember(
        self, scored: Sequence[tuple[str, Score]], version: str, received_at: datetime, synthetic: bool
    ) -> None:
        scored_at = now()
        self._record(
            [
                PredictionRecord(
                    id=next(self._identifiers),
                    text=text,
                    prediction=score.prediction,
                    probability=score.probability,
                    model=version,
                    source="http",
                    received_at=received_at,
                    scored_at=scored_at,
                    synthetic=synthetic,
                )
                for text, score in scored
            ]
        )


def _count(seconds: float, scores: Iterable[Score]) -> None:
    SECONDS.observe(seconds)
    for score in scores:
        TEXTS[score.prediction].inc()
