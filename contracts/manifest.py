"""The manifest of a version: what a model is, how good, and the hashes of its parts; and which version is served."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from contracts.codec import Reader, from_document, indented

FORMAT = 2
MANIFEST = "manifest.json"


class ClassFigures(Struct, frozen=True):
    """Precision and recall of one class, from 0 to 1, and its number of texts."""

    precision: float
    recall: float
    texts: int


class CalibrationBin(Struct, frozen=True):
    """Texts whose probability of positive falls in one tenth: its mean, and the share that is positive."""

    mean_probability: float
    share_positive: float
    texts: int


class Calibration(Struct, frozen=True):
    """What log-odds are divided by before they become a probability: temperature x (words that the model knows)^power.

    The defaults leave a probability as the model has it. See sentiment.calibration.
    """

    temperature: Annotated[float, Meta(ge=0.01, le=1000)] = 1.0
    power: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Evaluation(Struct, frozen=True):
    """Figures of a model on labelled texts.

    confusion: rows are the true class, columns the predicted one, negative first.
    log_loss: mean negative logarithm of the probability given to the true class, in nats.
    calibration_error: expected calibration error (Naeini et al., 2015): mean distance between probability
    and share in the bins, weighted by their texts.
    """

    texts: int
    accuracy: float
    negative: ClassFigures
    positive: ClassFigures
    confusion: list[list[int]]
    log_loss: float
    calibration_error: float
    calibration: list[CalibrationBin]


class Contender(Struct, frozen=True):
    """A model as the gate compares it: its version, None before it is published, and its figures on the holdout."""

    model: str | None
    metrics: Evaluation | None


class Bound(Struct, frozen=True):
    """What one text counts for at most, where a model learns it as a label: terms in all, and times of one term.

    words, times: named after what the terms of the default trainer are.
    """

    words: int
    times: int


class MovedWord(Struct, frozen=True):
    """A word whose log-odds an update has moved; 0 stands for a word that the model does not have."""

    word: str
    before: float
    after: float


class ClassTexts(Struct, frozen=True):
    """How many texts of each class a model was trained on; weights make them fractions."""

    negative: float
    positive: float


class CanaryText(Struct, frozen=True):
    """A text, and the probability of positive that it had when the model was packed."""

    text: str
    probability: float


class Part(Struct, frozen=True):
    """A file of a version."""

    sha256: str
    size_bytes: Annotated[int, Meta(ge=0)]


class About(Struct, frozen=True, kw_only=True):
    """Where a model comes from: what its trainer says of it.

    data: the corpus it began with. metrics: of calibrated probabilities, see sentiment.calibrating.
    ancestors: the versions that it has learned from, oldest first.
    labels: how many labels it learned in its own run, each counted `label_weight` times and within `label_bound`;
    taken_back: the ids of those that it has forgotten again. champion: what it was compared with; anchor: the best of
    those that came before it. moved: the words whose log-odds its own run has moved most.
    """

    trained_at: str
    trainer: str
    data: str | None
    examples: int
    metrics: Evaluation | None = None
    calibration: Calibration = Calibration()
    parent: str | None = None
    ancestors: list[str] = []
    label_weight: float = 1.0
    label_bound: Bound | None = None
    labels: int = 0
    taken_back: list[str] = []
    reason: str | None = None
    champion: Contender | None = None
    anchor: Contender | None = None
    moved: list[MovedWord] = []


class Manifest(About, frozen=True, kw_only=True):
    """What a version consists of.

    format: FORMAT of the release that wrote it. bias: the log-odds that a text without known words has.
    algorithm: the trainer that its line of versions is of, by its name in TRAINER; features: what it looks at in a
    text, see sentiment.features. Both have the values of the releases that did not write them.
    """

    format: int
    algorithm: str = "multinomial-nb"
    features: str = "words"
    vocabulary_size: int
    documents: ClassTexts
    bias: float = 0.0
    canary: list[CanaryText]
    parts: dict[str, Part]

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return indented(self).encode() + b"\n"


_read = Reader(dict[str, Any])


def read_manifest(content: bytes) -> Manifest:
    """Return a manifest, of this format or an earlier one; raises Malformed."""
    document = _read(content)
    if document.get("format") == 1:
        # The first format said {} where there are no figures.
        document["metrics"] = document.get("metrics") or None
        if isinstance(champion := document.get("champion"), dict):
            champion["metrics"] = champion.get("metrics") or None
    return from_document(document, Manifest)


class Promotion(Struct, frozen=True, rename={"previous": "from", "version": "to"}):
    """One move of current.json: who, when (ISO 8601, with a zone), from which version, to which, and why."""

    id: str
    at: str
    by: str
    previous: str | None
    version: str
    reason: str

    def __post_init__(self) -> None:
        """Raise ValueError unless `at` is a time with a zone."""
        if datetime.fromisoformat(self.at).tzinfo is None:
            raise ValueError(f"{self.at} has no zone")


class CurrentDocument(Struct, frozen=True, omit_defaults=True):
    """What current.json holds.

    promotion: a `Promotion`, which is also its entry in the log; as JSON, since that is what is signed.
    signature: of that JSON without white space, as hexadecimal digits.
    """

    version: str
    promotion: Raw
    signature: str | None = None


class Period(Struct, frozen=True):
    """When the first and the last of some texts were scored, ISO 8601."""

    first_scored_at: str
    last_scored_at: str


class StatisticsDocument(Struct, frozen=True):
    """Statistics kept beside a version: the hash of their content, and of which texts they are."""

    sha256: str
    size_bytes: int
    about: Period


read_promotion = Reader(Promotion)
read_current = Reader(CurrentDocument)
read_statistics_document = Reader(StatisticsDocument)
