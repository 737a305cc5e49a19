"""Requests and answers of predict."""

from collections.abc import Sequence

from msgspec import UNSET, Raw, Struct, UnsetType

from contracts.codec import Reader
from contracts.manifest import Evaluation


class PredictRequest(Struct, frozen=True):
    """One text, or many; of many, each is read by itself, so that a bad one never fails its neighbours."""

    text: str | UnsetType = UNSET
    texts: list[Raw] | UnsetType = UNSET


class TextsRequest(Struct, frozen=True):
    """A `PredictRequest` for many texts, as whoever calls predict writes it."""

    texts: Sequence[str]


class Score(Struct, frozen=True):
    """A prediction, `negative` or `positive`, and the probability of `positive`."""

    prediction: str
    probability: float


class Unscored(Struct, frozen=True):
    """Why a text of a batch has no score."""

    error: str


class Scored(Score, frozen=True):
    """The answer for one text, and the version of the model that gave it."""

    model: str


class BatchScored(Struct, frozen=True):
    """The answer for many texts: as many predictions, in the same order."""

    predictions: list[Score | Unscored]
    model: str


class AnyScore(Struct, frozen=True):
    """A `Score` or an `Unscored`, as whoever called predict reads it."""

    prediction: str = ""
    probability: float = 0.0
    error: str | None = None

    def resolve(self) -> Score | Unscored:
        """Return which of the two it is."""
        return Score(self.prediction, self.probability) if self.error is None else Unscored(self.error)


class AnyBatchScored(Struct, frozen=True):
    """A `BatchScored`, as whoever called predict reads it."""

    predictions: list[AnyScore]
    model: str


class ServedModel(Struct, frozen=True):
    """The model that is served: the answer to `GET predict`."""

    model: str
    trained_at: str
    trainer: str
    metrics: Evaluation | None
    vocabulary_size: int
    parent: str | None
    data: str | None
    examples: int


read_request = Reader(PredictRequest)
read_text = Reader(str)
read_batch_scored = Reader(AnyBatchScored)
