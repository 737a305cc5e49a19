"""Versions as a run reads and makes them: the champion, its successor, the first one, and how a list shows each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from contracts.codec import extended
from contracts.manifest import About, Bound, Calibration, Contender, Evaluation, MovedWord
from contracts.retrain import VersionMetrics, VersionSummary
from functions.retrain.lesson import Lesson
from model_store.layout import Current
from model_store.publishing import ModelStore, VersionInfo
from records import now
from records.labels import Labels
from sentiment import gate, influence
from sentiment.artifact import HOLDOUT_PART, LABELS_PART, REFERENCE_PART, Artifact
from sentiment.calibrating import calibrate
from sentiment.calibration import NOT_CALIBRATED
from sentiment.counts import TextCounts, count_texts
from sentiment.drift.measures import measure
from sentiment.drift.samples import Reference
from sentiment.linear import LinearModel
from sentiment.packing import Holdout, pack, unpack
from sentiment.scorer import Scorer
from sentiment.trainers import TRAINERS

MAX_ANCESTORS = 1_000


@dataclass(frozen=True, eq=False)
class Compared:
    """A model beside the champion: how good it is on the holdout, None without one, and the words that moved most."""

    model: LinearModel
    calibration: Calibration
    metrics: Evaluation | None
    moved: list[MovedWord]


@dataclass(frozen=True)
class Champion:
    """The served model, ready to be compared and updated.

    holdout, holdout_labels: texts that no model was trained on, (N,) labels; none where it was trained without.
    """

    current: Current
    artifact: Artifact
    model: LinearModel
    holdout: TextCounts
    holdout_labels: gate.LabelArray

    @classmethod
    def load(cls, store: ModelStore) -> Self | None:
        """Return what `store` serves, None before the first promotion; raises StoreError, ArtifactError."""
        current = store.current()
        if current is None:
            return None
        return cls.of(current, store.load(current.version))

    @classmethod
    def of(cls, current: Current, artifact: Artifact) -> Self:
        """Return the version of that artifact; raises ArtifactError."""
        content = artifact.parts.get(HOLDOUT_PART)
        holdout = Holdout.from_bytes(content) if content else Holdout(count_texts([]), np.zeros(0, dtype=np.int8))
        return cls(current, artifact, unpack(artifact), holdout.texts, holdout.labels.astype(np.intp))

    @cached_property
    def scorer(self) -> Scorer:
        """What scores texts by its model."""
        return self.model.scorer()

    @cached_property
    def holdout_right(self) -> gate.Booleans:
        """Which texts of the holdout it gets right, (N,)."""
        return gate.right(self.scorer, self.holdout, self.holdout_labels)

    @cached_property
    def words(self) -> frozenset[str]:
        """The terms that it has."""
        return frozenset(self.model.vocabulary)

    @property
    def bound(self) -> Bound | None:
        """What a label counts for at most; of a version of an earlier release, by the first data that it kept."""
        return self.artifact.manifest.label_bound or influence.usual(self.holdout)

    @property
    def anchor(self) -> Contender:
        """The best version of its line on the holdout, which goes on from version to version: it or an ancestor."""
        own, earlier = self.as_contender(), self.artifact.manifest.anchor
        if earlier is None or earlier.metrics is None:
            return own
        return own if own.metrics and own.metrics.accuracy >= earlier.metrics.accuracy else earlier

    @property
    def lineage(self) -> list[str]:
        """The versions that it has learned from, oldest first, itself last."""
        return [*self.artifact.manifest.ancestors, self.current.version]

    def as_contender(self) -> Contender:
        """Return its version and figures, as answers and manifests show what the gate compares."""
        return Contender(self.current.version, self.artifact.manifest.metrics)

    def compared(self, model: LinearModel) -> Compared:
        """Return a model beside this one, calibrated on the holdout where there is one."""
        calibration, metrics = NOT_CALIBRATED, None
        if len(self.holdout_labels):
            calibration, metrics = calibrate(self.holdout, model.scorer(), self.holdout_labels.tolist())
        return Compared(model, calibration, metrics, influence.moved(self.model, model))

    def repair(self, labels: Labels) -> None:
        """Bring the labels up to what the champion says of itself; raises RecordsUnavailable.

        A run that was killed after its promotion has not marked the labels that the new version has learned, or not
        deleted those that it took back: both are named by the version itself.
        """
        learned = self.artifact.parts.get(LABELS_PART, b"").decode().split()
        manifest = self.artifact.manifest
        labels.mark_used(learned, self.current.version, manifest.label_weight, manifest.label_bound)
        for identifier in manifest.taken_back:
            labels.delete(identifier)

    def successor(
        self,
        next_one: Compared,
        weight: float,
        reason: str,
        *,
        learned: Sequence[str] = (),
        taken_back: Sequence[str] = (),
    ) -> Artifact:
        """Return the version that follows: `next_one`, which has learned labels or forgotten some, by their ids.

        The holdout goes on from version to version; all else is made anew. weight: how often each label is counted.
        """
        model, parts = next_one.model, {LABELS_PART: "\n".join(learned).encode()}
        if len(self.holdout_labels):
            measured = measure(self.holdout, model, self.holdout_labels.tolist())
            parts[HOLDOUT_PART] = self.artifact.parts[HOLDOUT_PART]
            parts[REFERENCE_PART] = Reference.from_measured([measured]).to_bytes()
        about = About(
            trained_at=now().isoformat(timespec="seconds"),
            trainer=model.update,
            data=self.artifact.manifest.data,
            examples=int(model.class_texts.sum()),
            metrics=next_one.metrics,
            calibration=next_one.calibration,
            parent=self.current.version,
            ancestors=self.lineage[-MAX_ANCESTORS:],
            label_weight=weight,
            label_bound=self.bound,
            labels=len(learned),
            taken_back=[*taken_back],
            reason=reason,
            champion=self.as_contender(),
            anchor=self.anchor,
            moved=next_one.moved,
        )
        return pack(model, about, parts)


def first_version(texts: Iterable[str], lesson: Lesson, trainer: str) -> Artifact:
    """Return a version trained on labels alone, where no model is served; raises ValueError for labels all alike.

    texts: those of the lesson, which are read again, since a trainer counts them itself. trainer: its name.
    """
    made = TRAINERS[trainer]
    trained_at, count = now().isoformat(timespec="seconds"), len(lesson)
    about = About(trained_at=trained_at, trainer=made.made_by(), data="labels", examples=count, labels=count)
    model = made.train(texts, lesson.labelled.labels.tolist())
    return pack(model, about, {LABELS_PART: "\n".join(lesson.ids).encode()})


def summary(info: VersionInfo) -> VersionSummary:
    """Return a version as a list shows it."""
    figures = info.manifest.metrics if info.manifest else None
    metrics = extended(figures, VersionMetrics) if figures else None
    return extended(info.manifest, VersionSummary, version=info.version, problem=info.problem, metrics=metrics)
