"""Requests and answers of predict."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from contracts.codec import Malformed, QueryReader, Reader
from contracts.limits import MAX_BATCH_TEXTS, Text
from contracts.manifest import Calibration, Evaluation


class PredictRequest(Struct, frozen=True):
    """One text, or many; of many, each is read by itself, so that a bad one never fails its neighbours."""

    text: Text | UnsetType = UNSET
    texts: Annotated[list[Raw], Meta(max_length=MAX_BATCH_TEXTS)] | UnsetType = UNSET


class PredictQuery(Struct, frozen=True):
    """What else a request asks for."""

    record: Annotated[bool, Meta(description="Whether texts and answers are remembered.")] = True
    synthetic: Annotated[bool, Meta(description="Whether they are remembered as ones that nobody wrote.")] = False
    explain: Annotated[bool, Meta(description="Whether each answer has the words that decided.")] = False


class TextsRequest(Struct, frozen=True):
    """A `PredictRequest` for many texts, as whoever calls predict writes it."""

    texts: Sequence[str]


class WrittenTexts(Struct, frozen=True):
    """A `TextsRequest` whose texts are JSON already."""

    texts: Sequence[Raw]


class Score(Struct, frozen=True):
    """A prediction, `negative` or `positive`, the calibrated probability of `positive`, and the model's log-odds."""

    prediction: str
    probability: float
    log_odds: float


class Contribution(Struct, frozen=True):
    """A word of a text, and what all its occurrences together add to the log-odds."""

    word: str
    log_odds: float


class Scored(Score, frozen=True):
    """The answer for one text, and the version of the model that gave it.

    words, bias: where an explanation was asked for, the words that the model knows, the strongest first, and what every
    text begins with: together they add up to `log_odds`.
    """

    model: str
    words: list[Contribution] | UnsetType = UNSET
    bias: float | UnsetType = UNSET


class Answer(Struct, frozen=True, omit_defaults=True):
    """The answer for one text of a batch: what a `Scored` has, or the error that says why there is none."""

    prediction: str = ""
    probability: float | None = None
    log_odds: float | None = None
    words: list[Contribution] | UnsetType = UNSET
    bias: float | UnsetType = UNSET
    error: str | None = None


class Answers(Struct, frozen=True):
    """The answers for a batch, as many as texts and in their order, and the version of the model that gave them."""

    predictions: list[Answer]
    model: str


class ServedModel(Struct, frozen=True):
    """The model that is served: the answer to `GET predict`."""

    model: str
    trained_at: str
    trainer: str
    algorithm: str
    features: str
    metrics: Evaluation | None
    calibration: Calibration
    vocabulary_size: int
    parent: str | None
    data: str | None
    examples: int


decode_request = Reader(PredictRequest)
read_query = QueryReader(PredictQuery)
read_text = Reader(str)
read_scored = Reader(Scored)
read_served_model = Reader(ServedModel)
read_answers = Reader(Answers)


def asked(request: PredictRequest) -> str | list[Raw]:
    """Return the text of a request, or its texts as JSON; raises Malformed unless it has either."""
    if request.text is not UNSET and request.texts is UNSET:
        return request.text
    if request.texts is not UNSET and request.text is UNSET:
        return request.texts
    raise Malformed("must have either text or texts")


def read_request(content: bytes | bytearray) -> str | list[Raw]:
    """Return the text of a request, or its texts as JSON; raises Malformed, and TooMany where it has too many."""
    return asked(decode_request(content))
