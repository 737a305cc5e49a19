"""Training from scratch, by any trainer, into a version with all that later comparisons need."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from contracts.manifest import About
from sentiment.artifact import HOLDOUT_PART, REFERENCE_PART, Artifact
from sentiment.calibrating import calibrate
from sentiment.calibration import NOT_CALIBRATED
from sentiment.counts import count_texts
from sentiment.drift.measures import measure
from sentiment.drift.samples import Reference
from sentiment.influence import usual
from sentiment.packing import Holdout, pack
from sentiment.text import Corpus
from sentiment.trainers import DEFAULT_TRAINER, TRAINERS


def train_artifact(corpus: Corpus, *, holdout_share: float = 0.0, trainer: str = DEFAULT_TRAINER) -> Artifact:
    """Train on a corpus, and keep what later comparisons need.

    holdout_share: the share of texts that is kept out of training. The artifact then carries them as counts (for the
    gate that a retrained model must pass) and as statistics (the reference that drift is measured against); its
    calibration is fitted to them, and its metrics are measured on them, as is what a label may count for.
    trainer: its name in `TRAINERS`.
    """
    held = held_out(corpus.labels, holdout_share)
    made = TRAINERS[trainer]
    model = made.train([*compress(corpus.texts, ~held)], [*compress(corpus.labels, ~held)])
    parts: dict[str, bytes] = {}
    calibration, metrics, bound = NOT_CALIBRATED, None, None
    if held.any():
        texts, labels = [*compress(corpus.texts, held)], [*compress(corpus.labels, held)]
        counted = count_texts(texts, model.features)
        parts[HOLDOUT_PART] = Holdout(counted, np.array(labels, dtype=np.int8)).to_bytes()
        calibration, metrics = calibrate(counted, model.scorer(), labels)
        bound = usual(counted)
        parts[REFERENCE_PART] = Reference.from_measured([measure(counted, model, labels)]).to_bytes()
    about = About(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trainer=made.made_by(),
        data=corpus.name,
        examples=int((~held).sum()),
        metrics=metrics,
        calibration=calibration,
        label_bound=bound,
    )
    return pack(model, about, parts)


def held_out(labels: Sequence[int], share: float) -> NDArray[np.bool_]:
    """Return which texts are kept out of training, (N,): of each class the last `share` in the order given.

    Not a random choice: reviews of one film stand together in IMDB's archive, and a film on both sides of the split
    would make the holdout more like the training texts than live texts ever are.
    """
    truth = np.asarray(labels)
    held = np.zeros(len(truth), dtype=np.bool_)
    for label in (0, 1):
        (members,) = np.nonzero(truth == label)
        held[members[len(members) - round(len(members) * share) :]] = True
    return held
