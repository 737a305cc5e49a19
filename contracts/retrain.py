"""Requests and answers of retrain; labels come by stream, too."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.codec import QueryReader, Reader
from contracts.limits import MAX_BATCH_TEXTS, MAX_ID_CHARACTERS, MAX_SOURCE_CHARACTERS, Text
from contracts.manifest import Contender, MovedWord, Promotion

Id = Annotated[str, Meta(max_length=MAX_ID_CHARACTERS)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a sender may name something by."""

Source = Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_CHARACTERS)]
"""Where a label comes from, as its sender says; whose it is, the credential says that it came with."""


LabelValue = (
    Annotated[int, Meta(extra_json_schema={"enum": [0, 1]})]
    | Annotated[str, Meta(extra_json_schema={"pattern": r"^\s*(0|1|neg(ative)?|pos(itive)?)\s*$"})]
)
"""What `parse_label` reads, as schemas show it; large letters will do, too."""


class LabelExample(Struct, frozen=True, omit_defaults=True):
    """A text and its label as `parse_label` reads it; where it comes from, and the sender's own id for it."""

    text: Text
    label: LabelValue
    source: Source | UnsetType = UNSET
    id: Id | None = None


class LabelsRequest(Struct, frozen=True):
    """Many labels; one that can't be used fails all. Without `examples` the body is one LabelExample."""

    examples: Annotated[list[LabelExample], Meta(max_length=MAX_BATCH_TEXTS)] | UnsetType = UNSET


class RetrainQuery(Struct, frozen=True):
    """What is to be trained."""

    now: Annotated[bool, Meta(description="Whether a run is made at once, on all labels that are pending.")] = False
    refused: Annotated[
        bool, Meta(description="Whether it tries labels again that the gate has refused; without a body alone.")
    ] = False


class RollbackRequest(Struct, frozen=True):
    """The version to serve, None for the one before; requeue: labels left behind are learned anew."""

    to: str | None = None
    requeue: bool = False


class PairedTest(Struct, frozen=True):
    """One comparison: texts that only the champion got right, those that only the challenger did, and what follows.

    champion, challenger: their shares of right answers. p_value: corrected. worse: the verdict.
    """

    texts: int
    champion: float
    challenger: float
    only_champion: int
    only_challenger: int
    p_value: float
    worse: bool


class RefusedLabels(Struct, frozen=True):
    """Labels that a run has refused while it learned others: whose, how many, and why."""

    principal: str
    labels: int
    reason: str


class RunOutcome(Struct, frozen=True, kw_only=True):
    """What came of a training run. model: the version served after it; tests: the gate's, where it was asked.

    moved: the words whose log-odds the challenger has moved most. refused: whose labels were left out, and why.
    """

    retrained: bool = False
    promoted: bool = False
    model: str | None
    champion: Contender
    challenger: Contender
    reason: str
    tests: dict[str, PairedTest] | UnsetType = UNSET
    moved: list[MovedWord] | UnsetType = UNSET
    refused: list[RefusedLabels] | UnsetType = UNSET


class LastRun(RunOutcome, frozen=True, kw_only=True):
    """The outcome of the last run, who had it run, on how many labels, and when it ended."""

    by: str
    labels: int
    finished_at: str


class Progress(Struct, frozen=True):
    """What a run is doing, and for whom."""

    by: str
    started_at: str
    step: str
    labels: int | UnsetType = UNSET


class LabelsStored(Struct, frozen=True, kw_only=True):
    """Labels that came in: how many were new, and their ids; pending: how many wait now."""

    accepted: int
    repeated: int
    pending: int
    ids: list[str]


class LabelsTaken(LabelsStored, frozen=True, kw_only=True):
    """Labels that came in; retrained: whether they have started a run, which works in the background."""

    model: str | None
    retrained: bool


class LabelsLearned(RunOutcome, frozen=True, kw_only=True):
    """Labels that came in with `?now=true`, and what came of the run on all that were pending."""

    accepted: int
    repeated: int
    pending: int
    ids: list[str]


class ConflictingLabel(Struct, frozen=True):
    """One of the labels of a text that came with both, and who says so."""

    id: str
    label: int
    source: str
    principals: list[str]


class Conflict(Struct, frozen=True):
    """A text that came with both labels."""

    text: str
    labels: list[ConflictingLabel]


class VersionMetrics(Struct, frozen=True):
    """The figures of a version that a list shows."""

    texts: int
    accuracy: float
    log_loss: float


class VersionSummary(Struct, frozen=True, kw_only=True):
    """A version as a list shows it; `problem` says why it can't be served."""

    version: str
    problem: str | None
    trained_at: str | None = None
    trainer: str | None = None
    parent: str | None = None
    labels: int | None = None
    metrics: VersionMetrics | None = None


class Overview(Struct, frozen=True, kw_only=True):
    """The answer to `GET retrain`; conflicts: for whoever has the token.

    retrain_after: how many pending labels start a run by themselves.
    """

    model: str | None
    pending: int
    used: int
    refused: int
    retrain_after: int
    conflicts: list[Conflict] | UnsetType
    running: Progress | None
    last_run: LastRun | None
    versions: list[VersionSummary]
    promotions: list[Promotion]


class TakenBack(Struct, frozen=True):
    """A label that is gone; subtracted: whether the served model had learned it; model: the version without it."""

    deleted: str
    subtracted: bool
    model: str | None


class RolledBack(Struct, frozen=True):
    """The version that is served now, and how many labels are pending again."""

    model: str
    promotion: Promotion
    requeued: int


read_query = QueryReader(RetrainQuery)
read_label_example = Reader(LabelExample)
read_labels_request = Reader(LabelsRequest)
read_rollback_request = Reader(RollbackRequest)
read_labels_taken = Reader(LabelsTaken)
read_overview = Reader(Overview)
read_run_outcome = Reader(RunOutcome)
read_rolled_back = Reader(RolledBack)
read_taken_back = Reader(TakenBack)
