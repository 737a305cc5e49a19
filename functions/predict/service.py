"""The predictor: scores texts by the model that is served, and has them remembered."""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from itertools import count
from secrets import token_hex
from typing import Protocol, TypeVar

import bson
from msgspec import structs
from prometheus_client import Counter, Histogram

from contracts.codec import Malformed, extended, to_document
from contracts.large import Texts, read_item
from contracts.limits import MAX_EXPLAINED_BATCH_CHARACTERS, TextTooLong, within_limit
from contracts.names import CLASSES
from contracts.predict import Answer, Answers, PredictQuery, Score, Scored, ServedModel
from contracts.records import PredictionRecord
from model_store.serving import Served
from process.turns import Turns
from records import now
from sentiment.scorer import Scorer

T = TypeVar("T")
A = TypeVar("A", Scored, Answer)

SECONDS = Histogram(
    "predict_seconds",
    "Time from the request's body to the answer, in seconds",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
_texts = Counter("predict_texts", "Texts scored, by prediction", ["prediction"])
TEXTS = {name: _texts.labels(name) for name in CLASSES}

SLICE_SECONDS = 0.0003
"""How long there is work on a batch until single texts have their turn."""
RECORDED_AT_ONCE = 250
LONGEST_BATCH_WAIT_SECONDS = 10.0
MOST_BATCHES_WAITING = 100


class NoModel(Exception):
    """No model is loaded yet."""

    def __init__(self) -> None:
        super().__init__("No model is loaded yet; publish and promote one, or wait until it is loaded.")


class TooMuchToExplain(Exception):
    """The texts of a batch are together too long to be explained."""

    def __init__(self) -> None:
        super().__init__(
            f"Of a batch at most {MAX_EXPLAINED_BATCH_CHARACTERS} characters can be explained: send fewer."
        )


class Recorder(Protocol):
    """Who remembers records, as `BatchRecorder` does."""

    def has_room(self) -> bool:
        """Whether records may be brought."""

    async def room(self) -> None:
        """Return once there is room; raises RecordsFull."""

    def record(self, encoded: Sequence[bytes]) -> None:
        """Take records, as BSON."""


class Predictor:
    """Answers texts, on an event loop.

    Each answer is of the model that is served when it begins: a swap in between would mix two in one answer. What is
    answered is recorded: where there is no room for records, no answer is begun.
    """

    def __init__(self, served: Callable[[], Served | None], recorder: Recorder) -> None:
        """Answer with what `served` returns, None before the first model."""
        self._served = served
        self._recorder = recorder
        # One after the other: side by side they would be no faster, and each takes some megabytes.
        self._batches = Turns(most_waiting=MOST_BATCHES_WAITING, wait_seconds=LONGEST_BATCH_WAIT_SECONDS)
        # Unique over processes and restarts; cheaper than a UUID a text.
        self._identifiers = map(f"http:{token_hex(8)}:{{}}".format, count())

    def not_ready(self) -> str | None:
        """Return why no text can be answered, None where one can."""
        return None if self._served() else str(NoModel())

    def model(self) -> ServedModel:
        """Return what is served; raises NoModel."""
        served = self._require()
        return extended(served.manifest, ServedModel, model=served.version)

    def has_room(self) -> bool:
        """Whether answers can be recorded."""
        return self._recorder.has_room()

    async def room(self) -> None:
        """Return once answers can be recorded; raises RecordsFull."""
        await self._recorder.room()

    def score(self, text: str, query: PredictQuery, *, received_at: datetime | None = None) -> Scored:
        """Return the answer for one text, for whose record there has to be room; raises NoModel, TextTooLong.

        received_at: without it, now.
        """
        started = time.perf_counter()
        within_limit(text, explain=query.explain)
        served = self._require()
        score = served.scorer.score(text)
        if query.record:
            self._recorder.record([self._encoded(text, score, served.version, received_at or now(), query.synthetic)])
        SECONDS.observe(time.perf_counter() - started)
        TEXTS[score.prediction].inc()
        scored = Scored(score.prediction, score.probability, score.log_odds, served.version)
        return explained(scored, text, served.scorer) if query.explain else scored

    async def score_batch(self, read: Callable[[], Generator[None, None, Texts]], query: PredictQuery) -> Answers:
        """Return an answer for each item, a text as JSON; a bad one gets an error for its answer.

        `read` begins to read the items, in steps, once it is the batch's turn. Raises what that does, NoModel,
        RecordsFull, NoTurn, TooMuchToExplain.
        """
        received_at = now()
        while True:
            if query.record:
                await self._recorder.room()
            async with self._batches.turn():
                if self._recorder.has_room() or not query.record:
                    return await self._score_batch(read(), query, received_at)

    async def _score_batch(
        self, reading: Generator[None, None, Texts], query: PredictQuery, received_at: datetime
    ) -> Answers:
        """Answer a batch that has its turn; others are answered in between."""
        started = time.perf_counter()
        served = self._require()
        slices = _Slices()
        items = await slices.run(reading)
        texts_of = Counts[str]()
        encoded: list[bytes] = []
        predictions: list[Answer] = []
        explained_characters = 0
        for item in items:
            if slices.is_over():
                await slices.others()
            try:
                text = within_limit(read_item(item), explain=query.explain)
            except Malformed:
                predictions.append(Answer(error="must be a string"))
            except TextTooLong as error:
                predictions.append(Answer(error=str(error)))
            else:
                score = served.scorer.score(text)
                texts_of[score.prediction] += 1
                if query.record:
                    encoded.append(self._encoded(text, score, served.version, received_at, query.synthetic))
                answer = Answer(score.prediction, score.probability, score.log_odds)
                if query.explain:
                    explained_characters += len(text)
                    if explained_characters > MAX_EXPLAINED_BATCH_CHARACTERS:
                        raise TooMuchToExplain
                    answer = explained(answer, text, served.scorer)
                predictions.append(answer)
        for begin in range(0, len(encoded), RECORDED_AT_ONCE):
            self._recorder.record(encoded[begin : begin + RECORDED_AT_ONCE])
            if slices.is_over():
                await slices.others()
        SECONDS.observe(time.perf_counter() - started)
        for prediction, texts in texts_of.items():
            TEXTS[prediction].inc(texts)
        return Answers(predictions, served.version)

    def _require(self) -> Served:
        served = self._served()
        if served is None:
            raise NoModel
        return served

    def _encoded(self, text: str, score: Score, version: str, received_at: datetime, synthetic: bool) -> bytes:
        record = PredictionRecord(
            id=next(self._identifiers),
            text=text,
            prediction=score.prediction,
            probability=score.probability,
            log_odds=score.log_odds,
            model=version,
            source="http",
            received_at=received_at,
            scored_at=now(),
            synthetic=synthetic,
        )
        return bson.encode(to_document(record))


def explained(answer: A, text: str, scorer: Scorer) -> A:
    """Return an answer with the words that decided."""
    return structs.replace(answer, words=scorer.explain(text), bias=scorer.bias)


class _Slices:
    """Divides work on an event loop, so that others have it every SLICE_SECONDS."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + SLICE_SECONDS

    def is_over(self) -> bool:
        """Whether it is the others' turn."""
        return time.perf_counter() > self._end

    async def others(self) -> None:
        """Let the others have it."""
        await asyncio.sleep(0)
        self._end = time.perf_counter() + SLICE_SECONDS

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Return what the steps return."""
        while True:
            try:
                next(steps)
            except StopIteration as done:
                found: T = done.value
                return found
            if self.is_over():
                await self.others()
