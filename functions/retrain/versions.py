"""New versions: what is packed of a model that has learned labels, and how a list shows what is in the store."""

from collections.abc import Sequence
from datetime import UTC, datetime

from contracts.manifest import About
from contracts.records import LabelRecord
from contracts.retrain import VersionMetrics, VersionSummary
from functions.retrain.champion import Champion
from functions.retrain.settings import Settings
from model_store.publishing import VersionInfo
from sentiment.artifact import HOLDOUT_PART, LABELS_PART, REFERENCE_PART, Artifact
from sentiment.drift.measures import measure
from sentiment.drift.samples import Reference
from sentiment.model import Model
from sentiment.packing import pack


def present_time() -> str:
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def successor(
    champion: Champion,
    model: Model,
    settings: Settings,
    reason: str,
    *,
    learned: Sequence[str] = (),
    taken_back: Sequence[str] = (),
) -> Artifact:
    """Return the version that follows the champion: `model`, which has learned labels or forgotten some, by their ids.

    The holdout goes on from version to version; all else is made anew.
    """
    parts = {LABELS_PART: "\n".join(learned).encode()}
    if HOLDOUT_PART in champion.artifact.parts:
        parts[HOLDOUT_PART] = champion.artifact.parts[HOLDOUT_PART]
    if len(champion.holdout_labels):
        measured = measure(champion.holdout, model, champion.holdout_labels.tolist())
        parts[REFERENCE_PART] = Reference.from_measured([measured]).to_bytes()
    about = About(
        trained_at=present_time(),
        trainer="update of counts (exact)",
        data=champion.artifact.manifest.data,
        examples=int(model.class_texts.sum()),
        metrics=champion.figures(model),
        parent=champion.version,
        ancestors=champion.lineage[-settings.max_ancestors :],
        label_weight=settings.label_weight,
        labels=len(learned),
        taken_back=[*taken_back],
        reason=reason,
        champion=champion.as_contender(),
    )
    return pack(model, about, parts)


def first_version(labels: Sequence[LabelRecord]) -> Artifact:
    """Return a version trained on labels alone, where no model is served; raises ValueError for labels all alike."""
    from sentiment.training import train, trainer_name  # scikit-learn, which only a model from scratch needs

    about = About(
        trained_at=present_time(), trainer=trainer_name(), data="labels", examples=len(labels), labels=len(labels)
    )
    model = train([label.text for label in labels], [label.label for label in labels])
    return pack(model, about, {LABELS_PART: "\n".join(label.id for label in labels).encode()})


def summary(info: VersionInfo) -> VersionSummary:
    """Return a version as a list shows it."""
    manifest = info.manifest
    if manifest is None:
        return VersionSummary(version=info.version, problem=info.problem)
    metrics = manifest.metrics
    return VersionSummary(
        version=info.version,
        problem=info.problem,
        trained_at=manifest.trained_at,
        trainer=manifest.trainer,
        parent=manifest.parent,
        labels=manifest.labels,
        metrics=VersionMetrics(metrics.texts, metrics.accuracy, metrics.log_loss) if metrics else None,
    )
