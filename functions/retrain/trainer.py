"""One training run, and what else moves the served model.

The order of a run is what makes it safe to kill at any step:

1. Labels that the served version has used, which the version itself names, are marked as used, and those that it
   took back are deleted: this repairs the end of a run that was killed between its promotion and its marking.
2. Pending labels are read, and their counts added to the champion's.
3. The gate compares. If it refuses, the labels are marked as refused, and nothing else happens.
4. The challenger is published, then promoted by one conditional write that fails if anything else was promoted
   since the champion was read. A version that was published and not promoted is never served.
5. The labels are marked as used.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import Any

import numpy as np

from functions.retrain.settings import Settings
from model_store import Current, ModelStore, PromotionConflict
from records.labels import Labels, StoredLabel
from sentiment import gate
from sentiment.artifact import HOLDOUT_PART, MODEL_PART, REFERENCE_PART, Artifact, ArtifactError, Holdout, pack, unpack
from sentiment.counts import DocumentCounts, count_documents
from sentiment.drift import Reference
from sentiment.drift.documents import measure_counts
from sentiment.model import Model

logger = logging.getLogger(__name__)

LABELS_PART = "labels.txt"
PROMOTER = "retrain"
NO_DOCUMENTS = count_documents([])


class Busy(Exception):
    """Another run is under way; the message says since when."""


@dataclass(frozen=True)
class Champion:
    """The served model, ready to be compared and updated."""

    current: Current
    artifact: Artifact
    model: Model
    holdout_documents: DocumentCounts
    holdout_labels: gate.Labels


class Trainer:
    """Runs one training at a time."""

    def __init__(
        self,
        store: ModelStore,
        labels: Labels,
        settings: Settings,
        on_run: Callable[[dict[str, Any]], None] = lambda outcome: None,
    ) -> None:
        """Train from `labels` onto what `store` serves; on_run is told what came of each run."""
        self._on_run = on_run
        self._store = store
        self._labels = labels
        self._settings = settings
        self._running = threading.Lock()
        self.last_run: dict[str, Any] | None = None
        self.progress: dict[str, Any] | None = None

    def run(self, *, by: str, refused: bool = False) -> dict[str, Any]:
        """Train on what is pending and return what came of it, as `POST retrain` answers; raises Busy.

        refused: on labels that the gate has refused before, too.
        """
        with self._one_at_a_time(by):
            champion = self._champion()
            labels = self._labels.pending(
                maximum=self._settings.max_labels_per_run,
                maximum_per_source=self._settings.max_labels_per_source,
                refused=refused,
            )
            if not labels:
                outcome = self._outcome(champion, None, "no labels are pending")
            elif champion is None:
                outcome = self._first_model(labels, by)
            else:
                outcome = self._challenge(champion, labels, by)
            self._on_run(outcome)
            self.last_run = {**outcome, "by": by, "labels": len(labels), "finished_at": _now()}
            return outcome

    def take_back(self, label: StoredLabel, *, by: str) -> str | None:
        """Forget a label, and subtract it from the served model if that has learned it; returns the new version.

        Raises Busy, and PromotionConflict where something else was promoted meanwhile.
        """
        with self._one_at_a_time(by):
            champion = self._champion()
            found = self._labels.find(label.id) or label  # the repair may have found it to be used
            version = None
            if champion and found.model and found.model in lineage(champion):
                model = champion.model.updated([found.text], [found.label], weight=-found.weight)
                reason = f"label {found.id} was taken back"
                version = self._publish_and_promote(champion, model, by, reason, taken_back=[found.id])
            self._labels.delete(found.id)
            return version

    def roll_back(self, to: str | None, *, by: str, requeue: bool = False) -> tuple[Current, int]:
        """Serve version `to`, or the one served before; returns it, and how many labels are pending again.

        requeue: labels that what is served from now on has not learned, only versions that were left behind, are
        learned anew by the next run. Without it they stay out: they may be why one rolls back.

        Raises Busy, StoreError, ArtifactError.
        """
        with self._one_at_a_time(by):
            current = self._store.rollback(to, by=by, reason="rolled back by request")
            if not requeue:
                return current, 0
            artifact = self._store.load(current.version)
            return current, self._labels.requeue([*artifact.manifest.get("ancestors", []), current.version])

    def _one_at_a_time(self, by: str) -> "_Exclusive":
        return _Exclusive(self, self._running, by)

    def _champion(self) -> Champion | None:
        current = self._store.current()
        if current is None:
            return None
        artifact = self._store.load(current.version)
        used = artifact.parts.get(LABELS_PART, b"").decode().split()
        self._labels.mark_used(used, current.version, float(artifact.manifest.get("label_weight", 1)))
        for identifier in artifact.manifest.get("taken_back", []):
            self._labels.delete(identifier)
        content = artifact.parts.get(HOLDOUT_PART)
        holdout = Holdout.from_bytes(content) if content else Holdout(NO_DOCUMENTS, np.zeros(0, dtype=np.int8))
        return Champion(current, artifact, unpack(artifact), holdout.documents, holdout.labels.astype(np.intp))

    def _challenge(self, champion: Champion, labels: Sequence[StoredLabel], by: str) -> dict[str, Any]:
        self._say("training", labels=len(labels))
        documents = count_documents(label.text for label in labels)
        truth = np.array([label.label for label in labels], dtype=np.intp)
        weight = self._settings.label_weight
        challenger = champion.model.added(documents, truth.tolist(), weight=weight)
        self._say("comparing", labels=len(labels))
        verdict = gate.decide(
            gate.on_holdout(champion.model, challenger, champion.holdout_documents, champion.holdout_labels),
            gate.on_recent(champion.model, documents, truth, weight=weight),
            level=self._settings.gate_level,
        )
        promote, reason = verdict.promote, verdict.reason
        if not promote and not self._settings.gate:
            promote, reason = True, f"GATE=off, else {reason}"
            logger.warning("promoting in spite of the gate: %s", reason)
        challenger_figures = gate.figures(challenger, champion.holdout_documents, champion.holdout_labels)
        outcome = {
            **self._outcome(champion, challenger_figures, reason),
            "retrained": True,
            "tests": {name: asdict(test) for name, test in verdict.tests.items()},
        }
        ids = [label.id for label in labels]
        if not promote:
            self._labels.mark_refused(ids, uuid.uuid4().hex)
            logger.warning("challenger %s", reason)
            return outcome
        self._say("publishing", labels=len(labels))
        try:
            version = self._publish_and_promote(champion, challenger, by, f"learned {len(ids)} labels: {reason}", ids)
        except PromotionConflict as error:
            return {**outcome, "reason": f"not promoted: {error}; the labels stay pending for the next run"}
        self._labels.mark_used(ids, version, weight)
        return {
            **outcome,
            "promoted": True,
            "model": version,
            "challenger": {**outcome["challenger"], "model": version},
        }

    def _publish_and_promote(
        self,
        champion: Champion,
        model: Model,
        by: str,
        reason: str,
        label_ids: Sequence[str] = (),
        taken_back: Sequence[str] = (),
    ) -> str:
        kept = {
            name: content
            for name, content in champion.artifact.parts.items()
            if name not in (MODEL_PART, REFERENCE_PART, LABELS_PART)
        }
        metrics = gate.figures(model, champion.holdout_documents, champion.holdout_labels)
        if len(champion.holdout_labels):
            measured = measure_counts(champion.holdout_documents, model, champion.holdout_labels.tolist())
            kept[REFERENCE_PART] = Reference.from_documents([measured]).to_bytes()
        artifact = pack(
            model,
            {**kept, LABELS_PART: "\n".join(label_ids).encode()},
            trained_at=_now(),
            trainer="update of counts (exact)",
            data=champion.artifact.manifest.get("data"),
            examples=int(model.documents.sum()),
            metrics=metrics,
            parent=champion.current.version,
            ancestors=lineage(champion)[-self._settings.max_ancestors :],
            label_weight=self._settings.label_weight,
            labels=len(label_ids),
            taken_back=list(taken_back),
            reason=reason,
            champion={"model": champion.current.version, "metrics": champion.artifact.manifest.get("metrics")},
        )
        version = self._store.publish(artifact)
        self._store.promote(version, expected=champion.current, by=by, reason=reason)
        self._store.prune(self._settings.keep_versions)
        logger.info("promoted %s: %s", version, reason)
        return version

    def _first_model(self, labels: Sequence[StoredLabel], by: str) -> dict[str, Any]:
        from sentiment.training import train  # scikit-learn, which only a model from scratch needs

        truth = [label.label for label in labels]
        if len(set(truth)) < 2:
            return self._outcome(None, None, "there is no model yet, and the pending labels are all of one class")
        model = train([label.text for label in labels], truth)
        ids = [label.id for label in labels]
        artifact = pack(
            model,
            {LABELS_PART: "\n".join(ids).encode()},
            trained_at=_now(),
            trainer=f"scikit-learn {package_version('scikit-learn')} MultinomialNB",
            data="labels",
            examples=len(ids),
            metrics={},
            parent=None,
            ancestors=[],
            label_weight=1.0,
            labels=len(ids),
        )
        version = self._store.publish(artifact)
        self._store.promote(version, expected=None, by=by, reason=f"the first model, from {len(ids)} labels")
        self._labels.mark_used(ids, version, 1.0)
        outcome = self._outcome(None, {}, "the first model, with nothing to compare it with")
        return {**outcome, "retrained": True, "promoted": True, "model": version}

    def _outcome(self, champion: Champion | None, challenger: dict[str, Any] | None, reason: str) -> dict[str, Any]:
        served = champion.current.version if champion else None
        return {
            "retrained": False,
            "promoted": False,
            "model": served,
            "champion": {"model": served, "metrics": champion.artifact.manifest.get("metrics") if champion else None},
            "challenger": {"model": None, "metrics": challenger},
            "reason": reason,
        }

    def _say(self, step: str, **details: Any) -> None:
        if self.progress is not None:
            self.progress = {**self.progress, "step": step, **details}
        logger.info("%s %s", step, details)


class _Exclusive:
    """Holds the trainer for one piece of work, and shows in `progress` what it is."""

    def __init__(self, trainer: Trainer, lock: threading.Lock, by: str) -> None:
        self._trainer = trainer
        self._lock = lock
        self._by = by

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            progress = self._trainer.progress or {}
            raise Busy(f"another run is under way since {progress.get('started_at')}; try again when it has ended")
        self._trainer.progress = {"by": self._by, "started_at": _now(), "step": "starting"}

    def __exit__(self, *_: object) -> None:
        self._trainer.progress = None
        self._lock.release()


def lineage(champion: Champion) -> list[str]:
    """Return the versions that the served model has learned from, oldest first, itself last."""
    ancestors = champion.artifact.manifest.get("ancestors") or []
    if not isinstance(ancestors, list):
        raise ArtifactError("the manifest's ancestors are no list")
    return [*ancestors, champion.current.version]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
