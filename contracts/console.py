"""Requests and answers of the console, beside those of other functions, which it hands on as they are.

What a part that is away would have said is None, and the answer names that part: the others are still shown.
"""

from datetime import datetime

from msgspec import Raw, Struct

from contracts.codec import Reader
from contracts.drift import State
from contracts.limits import Text
from contracts.predict import ServedModel
from contracts.retrain import LabelValue, Progress
from contracts.stream import Lag


class LoginRequest(Struct, frozen=True):
    """Who has the console's token."""

    token: str


class TextRequest(Struct, frozen=True):
    """A text to be scored and explained."""

    text: Text


class LabelRequest(Struct, frozen=True):
    """What a person says that a text is, a label as `parse_label` reads it."""

    text: Text
    label: LabelValue


class Part(Struct, frozen=True):
    """A part of the system: whether it does its work, and in words what it says."""

    name: str
    ok: bool
    says: str


class Count(Struct, frozen=True):
    """How many texts of one source were given one prediction."""

    source: str
    prediction: str
    count: int


class Minute(Struct, frozen=True):
    """How many texts were scored in the minute that begins at `at`, by prediction."""

    at: datetime
    negative: int
    positive: int


class RecentText(Struct, frozen=True, kw_only=True):
    """A text that was scored, or its beginning, and the answer."""

    id: str
    text: str
    prediction: str
    probability: float
    log_odds: float | None
    model: str
    source: str
    scored_at: datetime
    synthetic: bool


class RecentRejected(Struct, frozen=True, kw_only=True):
    """A message that could not be used: why, from which stream, and the beginning of its body."""

    id: str
    reason: str
    text: str
    stream: str
    received_at: datetime


class Now(Struct, frozen=True, kw_only=True):
    """What goes on. All of MongoDB is None while that is away; lag: None where no bridge is known, or it is away.

    since: from when `hour` counts: an hour ago, or later where so many were scored that only the last are counted.
    minutes: those of the last 60 that `since` leaves, the oldest first. texts, rejected: the newest first.
    pending: labels that wait for a run.
    """

    since: datetime | None = None
    hour: list[Count] | None = None
    minutes: list[Minute] | None = None
    texts: list[RecentText] | None = None
    rejected: list[RecentRejected] | None = None
    pending: int | None = None
    parts: list[Part]
    lag: list[Lag] | None


class DriftState(Struct, frozen=True):
    """What the console reads of the last report of drift."""

    state: State


class LastReports(Struct, frozen=True):
    """The same of the answer to `GET drift/reports`."""

    reports: list[DriftState]


class Drift(Struct, frozen=True, kw_only=True):
    """What `GET drift` and `GET drift/reports` answer; can_generate: whether generate-drift may be used.

    away: the parts whose answer is None, and why.
    """

    now: Raw | None
    reports: Raw | None
    can_generate: bool
    away: list[Part]


class Models(Struct, frozen=True, kw_only=True):
    """What `GET predict` and `GET retrain` answer; away: the parts whose answer is None, and why."""

    served: Raw | None
    retrain: Raw | None
    away: list[Part]


class UnsureText(Struct, frozen=True):
    """A text that nobody has labelled, whole, and how it was scored."""

    id: str
    text: str
    prediction: str
    probability: float
    scored_at: datetime


class ToLabel(Struct, frozen=True, kw_only=True):
    """The recent texts that the model is least sure of, those first, and how far labels are learned.

    texts is None while MongoDB is away; what follows it, and is retrain's, while retrain is; away says why.
    retrain_after: how many pending labels begin a run by themselves.
    """

    texts: list[UnsureText] | None
    conflicts: Raw | None = None
    pending: int | None = None
    retrain_after: int | None = None
    last_run: Raw | None = None
    running: Progress | None = None
    away: list[Part]


class RetrainState(Struct, frozen=True):
    """What the console reads of the answer to `GET retrain`; the parts that it hands on stay as they are."""

    pending: int
    retrain_after: int
    running: Progress | None
    last_run: Raw
    conflicts: Raw = Raw(b"[]")


read_login = Reader(LoginRequest)
read_text_request = Reader(TextRequest)
read_label_request = Reader(LabelRequest)
read_retrain_state = Reader(RetrainState)
read_last_reports = Reader(LastReports)
read_served_model = Reader(ServedModel)
