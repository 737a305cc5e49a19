"""Requests and answers of predict."""

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from contracts.codec import Reader, TooMany
from contracts.limits import MAX_BATCH_TEXTS
from contracts.manifest import Evaluation


class PredictRequest(Struct, frozen=True):
    """One text, or many; of many, each is read by itself, so that a bad one never fails its neighbours."""

    text: str | UnsetType = UNSET
    texts: Annotated[list[Raw], Meta(max_length=MAX_BATCH_TEXTS)] | UnsetType = UNSET


class TextsRequest(Struct, frozen=True):
    """A `PredictRequest` for many texts, as whoever calls predict writes it."""

    texts: Sequence[str]


class Score(Struct, frozen=True):
    """A prediction, `negative` or `positive`, and the probability of `positive`."""

    prediction: str
    probability: float


class Scored(Score, frozen=True):
    """The answer for one text, and the version of the model that gave it."""

    model: str


class Answer(Struct, frozen=True, omit_defaults=True):
    """The answer for one text of a batch: what a `Score` has, or the error that says why there is none."""

    prediction: str = ""
    probability: float | None = None
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
    metrics: Evaluation | None
    vocabulary_size: int
    parent: str | None
    data: str | None
    examples: int


MANY_COMMAS, MANY_BRACKETS = 500_000, 200_000
MOST_PARTS = 25_000
_PARTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{},]', re.DOTALL)
"""Of JSON: its strings, whole, its brackets and its commas; a string without an end is one to the end."""
_read_request = Reader(PredictRequest)


def read_request(content: bytes | bytearray) -> PredictRequest:
    """Return a request; raises Malformed, and TooMany where it has too many texts, before they take memory.

    msgspec looks at the length of a list once it is read, which takes 80 bytes and 0.2 µs an item.
    """
    if content.count(b",") > MANY_COMMAS or max(map(content.count, (b"[", b"{"))) > MANY_BRACKETS:
        _check_length(content)
    return _read_request(content)


def _check_length(content: bytes | bytearray) -> None:
    """Raise TooMany where a list has too many items, or what is no text has too many parts to look for that."""
    depth = items = 0
    for parts, part in enumerate(_PARTS.finditer(content)):
        match part[0]:
            case b"[" | b"{":
                depth += 1
                items = 0 if depth == 2 else items
            case b"]" | b"}":
                depth -= 1
            case b"," if depth == 2:
                items += 1
        if items >= MAX_BATCH_TEXTS or parts > MOST_PARTS:
            raise TooMany(f"does not fit: Expected `array` of length <= {MAX_BATCH_TEXTS} - at `$.texts`")


read_text = Reader(str)
read_answers = Reader(Answers)
