"""Reports and alerts of drift; answers of generate-drift."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.codec import Malformed, QueryReader, Reader
from contracts.limits import MAX_BATCH_TEXTS

MAX_SEED = 2**32

Status = Literal["ok", "drift", "not-enough-data"]
"""What a window says, by itself."""

AlertKind = Literal["detected", "cleared"]


class DriftTest(Struct, frozen=True):
    """One test of a report; it tells drift where it is both significant and large enough to matter.

    statistic: the Kolmogorov-Smirnov distance; of the words, the difference in share of the word that moved
        most; of the error rate, the window's.
    p_value: of the test alone; adjusted_p_value: by Holm, to be compared with the level.
    effect_size: of the words Cohen's h, of the measures the distance, of the error rate the rise in it;
        threshold: what it must reach.
    """

    statistic: float
    p_value: float
    adjusted_p_value: float
    effect_size: float
    threshold: float
    drift: bool


class WordShift(Struct, frozen=True):
    """A word and the shares of texts that have it; the p-value is corrected for the words tested."""

    word: str
    share_reference: float
    share_window: float
    p_value: float


class SampleFigures(Struct, frozen=True):
    """How many texts a sample has, of how many the label is known, and the share of these that the model got wrong."""

    documents: int
    labelled: int | UnsetType = UNSET
    error_rate: float | UnsetType | None = UNSET


class Comparison(Struct, frozen=True):
    """What a window says, compared with a reference; `drift` is true where `status` says so."""

    drift: bool
    status: Status
    tests: dict[str, DriftTest]
    words: list[WordShift]
    window: SampleFigures
    reference: SampleFigures


class ModelShare(Struct, frozen=True):
    """How many texts of a window one version scored."""

    model: str
    documents: int


class WindowFigures(SampleFigures, frozen=True):
    """The texts that were scored last: when, by which versions, and how many of them generate-drift made."""

    first_scored_at: datetime | UnsetType | None = UNSET
    last_scored_at: datetime | UnsetType | None = UNSET
    synthetic: int | UnsetType = UNSET
    models: list[ModelShare] | UnsetType = UNSET


class ReferenceFigures(Struct, frozen=True):
    """The texts that a window is compared with: `live` ones or the `holdout` of a version; empty without any."""

    documents: int | UnsetType = UNSET
    labelled: int | UnsetType = UNSET
    error_rate: float | UnsetType | None = UNSET
    kind: Literal["live", "holdout"] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    first_scored_at: str | UnsetType = UNSET
    last_scored_at: str | UnsetType = UNSET


class ExpectedAccuracy(Struct, frozen=True):
    """The share of right answers in a window that its calibrated probabilities lead to expect, without any label.

    texts: of the window, those that the served version scored. accuracy; low, high: between which it lies with 95 %
    probability; None where it can't be told, and reason says why.
    """

    texts: int
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class State(Struct, frozen=True):
    """The confirmed state, since when it has been so, and what the next check goes on from.

    since: None where it has never changed. contrary_checks: how many in a row have said otherwise.
    counted_until: when the last text was scored of the last window that counted.
    """

    drift: bool = False
    since: datetime | None = None
    contrary_checks: int = 0
    counted_until: datetime | None = None


class Findings(Struct, frozen=True, kw_only=True):
    """What a look at the last texts found, beside the confirmed state.

    drift, status: what this window says. model: the version that is served.
    message: why there was no comparison, or no better reference.
    confirm: how many checks change the state.
    """

    drift: bool
    status: Status
    model: str | None
    tests: dict[str, DriftTest] = {}
    words: list[WordShift] = []
    window: WindowFigures = WindowFigures(0)
    reference: ReferenceFigures = ReferenceFigures()
    expected_accuracy: ExpectedAccuracy | None = None
    message: str | None = None
    checked_at: datetime
    state: State
    confirm: int


class DriftReport(Findings, frozen=True, kw_only=True):
    """What a check found that counted, and the state that followed.

    alert: what is announced, if anything; undelivered: the channels that the alert has not been sent by.
    """

    number: int
    alert: AlertKind | None = None
    undelivered: list[str] | UnsetType = UNSET


class LiveSample(Struct, frozen=True, kw_only=True):
    """The texts that the live reference of a version is made of, drawn from all that checks have seen.

    key: of the hash that draws them. ids: theirs, in `predictions`. exchanged: how many have come into it since the
    reference was made last, at `made_at`.
    """

    version: str
    key: str
    ids: list[str] = []
    exchanged: int = 0
    made_at: datetime | None = None


class ReportsQuery(Struct, frozen=True):
    """Which reports are asked for."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="How many reports at most.")] = 100


class Reports(Struct, frozen=True):
    """The last reports, newest first."""

    reports: list[DriftReport]


class Alert(Struct, frozen=True, kw_only=True):
    """What is announced when the state changes: `text` for people, the rest for programs."""

    text: str
    event: str
    id: str
    drift: bool
    checked_at: datetime
    model: str | None
    tests: dict[str, DriftTest]
    words: list[WordShift]
    window: WindowFigures
    reference: ReferenceFigures


class GenerateQuery(Struct, frozen=True):
    """What texts are to be made."""

    count: Annotated[int, Meta(ge=1, le=MAX_BATCH_TEXTS, description="How many texts in all.")] = 500
    share: Annotated[
        float,
        Meta(ge=0, le=1, description="Which share of them is of another kind than reviews; the rest repeat some."),
    ] = 0.5
    seed: (
        Annotated[int, Meta(ge=0, le=MAX_SEED, description="The same seed, the same texts; without it a random one.")]
        | UnsetType
    ) = UNSET


class Generated(Struct, frozen=True, kw_only=True):
    """Texts that were scored: how many of other kinds than reviews, how many ordinary, and an example of each kind."""

    generated: int
    shifted: int
    ordinary: int
    share: float
    kinds: dict[str, int]
    examples: dict[str, str]
    seed: int
    model: str | None


class Deleted(Struct, frozen=True):
    """How many texts are gone."""

    deleted: int


read_reports_query = QueryReader(ReportsQuery)
read_generate_query = QueryReader(GenerateQuery)
read_findings = Reader(Findings)
read_report = Reader(DriftReport)


def read_check(content: bytes) -> Findings:
    """Return what a check found, a DriftReport where it counted; raises Malformed."""
    try:
        return read_report(content)
    except Malformed:
        return read_findings(content)
