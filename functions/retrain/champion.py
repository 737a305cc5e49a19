"""The champion: the served model as a run needs it, and the repair of what an interrupted run left."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from contracts.manifest import Contender, Evaluation
from model_store.layout import Current
from model_store.publishing import ModelStore
from records.labels import Labels
from sentiment import gate
from sentiment.artifact import HOLDOUT_PART, LABELS_PART, Artifact
from sentiment.counts import DocumentCounts, count_documents
from sentiment.model import Model
from sentiment.packing import Holdout, unpack


@dataclass(frozen=True)
class Champion:
    """The served model, ready to be compared and updated.

    holdout, holdout_labels: texts that no model was trained on, (N,) labels; none where it was trained without.
    """

    current: Current
    artifact: Artifact
    model: Model
    holdout: DocumentCounts
    holdout_labels: gate.LabelArray

    @classmethod
    def load(cls, store: ModelStore) -> Self | None:
        """Return what `store` serves, None before the first promotion; raises StoreError, ArtifactError."""
        current = store.current()
        if current is None:
            return None
        artifact = store.load(current.version)
        if content := artifact.parts.get(HOLDOUT_PART):
            holdout = Holdout.from_bytes(content)
        else:
            holdout = Holdout(count_documents([]), np.zeros(0, dtype=np.int8))
        return cls(current, artifact, unpack(artifact), holdout.documents, holdout.labels.astype(np.intp))

    @property
    def version(self) -> str:
        """Its version."""
        return self.current.version

    @property
    def lineage(self) -> list[str]:
        """The versions that it has learned from, oldest first, itself last."""
        return [*self.artifact.manifest.ancestors, self.version]

    def as_contender(self) -> Contender:
        """Return its version and figures, as answers and manifests show what the gate compares."""
        return Contender(self.version, self.artifact.manifest.metrics)

    def figures(self, model: Model) -> Evaluation | None:
        """Return how good a model is on the holdout; None without one."""
        return gate.figures(model, self.holdout, self.holdout_labels)


def repair(champion: Champion, labels: Labels) -> None:
    """Bring the labels up to what the champion says of itself; raises RecordsUnavailable.

    A run that was killed after its promotion has not marked the labels that the new version has learned, or not deleted
    those that it took back: both are named by the version itself.
    """
    learned = champion.artifact.parts.get(LABELS_PART, b"").decode().split()
    labels.mark_used(learned, champion.version, champion.artifact.manifest.label_weight)
    for identifier in champion.artifact.manifest.taken_back:
        labels.delete(identifier)
